package demo_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// The seeds give conversation 1 the messages 6, 7, 8, 9, 10 and 12, conversation 2 the messages 3, 4, 5 and 11, and
// conversation 3 the messages 1 and 2.

func TestPage(t *testing.T) {
	browser := browser(t)
	for name, test := range map[string]func(opener){
		"shows two conversations live":                  showsTwoConversations,
		"writes a message that both panes show":         writes,
		"shows an edit only when its frame comes":       edits,
		"moves a message from pane to pane":             moves,
		"deletes a message":                             deletes,
		"lets frames win over an older list":            framesWin,
		"asks again for a list that failed":             asksAgain,
		"takes the rows of a snapshot":                  takesSnapshots,
		"follows another conversation":                  changesConversation,
		"comes back after a lost connection":            reconnects,
		"does not come back when refused":               staysAway,
		"tells what is refused":                         tellsRefusals,
		"reads the members again for an unknown author": learnsAuthors,
		"shows text as text":                            textIsText,
		"shows, filters and pauses the frames":          framesStrip,
		"keeps the last 300 frames":                     framesAreBounded,
	} {
		t.Run(name, func(t *testing.T) {
			test(func(over ...func(http.Handler) http.Handler) *demoPage { return newPage(browser, t, over...) })
		})
	}
}

// opener makes a demo; see newPage.
type opener func(over ...func(http.Handler) http.Handler) *demoPage

func showsTwoConversations(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(count(`[data-role=status][data-state=live]`, 2))
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
	p.wait(ids("right", 3, 4, 5, 11))
	p.wait(shows(message("right", 3), "The sourdough is alive again."))
	p.wait(shows(message("right", 3), "Tomás"))
	p.sql("insert into message (conversation_id, author_id, body) values (2, 6, 'From psql')")
	p.wait(shows(message("right", 13), "From psql"))
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
}

func writes(demo opener) {
	p := demo()
	p.open(2, 2)
	p.wait(count("[data-message-id]", 8))
	p.keys(pane("left", "compose"), "Soup is on"+kb.Enter)
	p.wait(shows(message("right", 13), "Soup is on"))
	p.wait(shows(message("right", 13), "Mira"))
	p.keys(pane("right", "compose"), "Coming")
	p.click(pane("right", "send"))
	p.wait(shows(message("left", 14), "Coming"))
	p.wait(shows(message("left", 14), "Tomás"))
	p.wait(ids("left", 3, 4, 5, 11, 13, 14))
	p.wait(fmt.Sprintf(`document.querySelector('%s').value === ''`, pane("left", "compose")))
	p.wait(`document.querySelector('[data-role=latency]').innerText.endsWith(' ms')`)
}

func edits(demo opener) {
	p := demo()
	p.open(1, 1)
	p.wait(present(message("left", 6)))
	p.gateway.hold()
	p.click(message("left", 6, "edit"))
	p.keys(message("left", 6, "edit-text"), " Anyone?"+kb.Enter)
	p.wait(shows(".frames", "PATCH /api/messages/6 204"))
	p.wait(present(message("left", 6) + ".pending"))
	if body := p.text(message("left", 6) + " .body"); strings.Contains(body, "Anyone?") {
		p.t.Errorf("the edit shows before its frame: %s", body)
	}
	p.gateway.release()
	for _, side := range []string{"left", "right"} {
		p.wait(shows(message(side, 6)+" .body", "fresh eyes? Anyone?"))
		p.wait(shows(message(side, 6, "changed"), "body, edited_at"))
		p.wait(present(message(side, 6) + " .body.changed"))
		p.wait(absent(message(side, 6) + ".pending"))
	}

	p.click(message("left", 6, "edit"))
	p.keys(message("left", 6, "edit-text"), " Nobody?"+kb.Escape)
	p.wait(fmt.Sprintf(`document.activeElement === document.querySelector('%s')`, message("left", 6)))
	if body := p.text(message("left", 6) + " .body"); strings.Contains(body, "Nobody?") {
		p.t.Errorf("the edit that was left shows: %s", body)
	}
}

func moves(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(present(message("left", 6)))
	p.wait(fmt.Sprintf(`document.querySelector('%s').title === 'Move to Kitchen table'`, message("left", 6, "move")))
	p.click(message("left", 6, "move"))
	p.wait(ids("left", 7, 8, 9, 10, 12))
	p.wait(ids("right", 3, 4, 5, 6, 11)) // at its place, not at the end
	p.wait(shows(message("right", 6), "Mira"))
}

func deletes(demo opener) {
	p := demo()
	p.open(1, 1)
	p.wait(count("[data-message-id]", 12))
	p.gateway.hold()
	p.click(message("left", 12, "delete"))
	p.wait(shows(".frames", "DELETE /api/messages/12 204"))
	p.wait(present(message("left", 12) + ".pending"))
	p.gateway.release()
	p.wait(ids("left", 6, 7, 8, 9, 10))
	p.wait(ids("right", 6, 7, 8, 9, 10))
	p.sql("delete from message where conversation_id = 1")
	p.wait(shows("[data-pane=left]", "Nothing here."))
}

// The list is read, then the rows change, then the list arrives.
func framesWin(demo opener) {
	read, release := make(chan struct{}), make(chan struct{})
	p := demo(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/conversations/1/messages" {
				next.ServeHTTP(w, r)
				return
			}
			list := httptest.NewRecorder()
			next.ServeHTTP(list, r)
			close(read)
			<-release
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(list.Body.Bytes())
		})
	})
	p.open(1, 2)
	<-read
	p.sql(
		"delete from message where id = 6",
		"update message set body = 'Newer than the list' where id = 7",
		"update message set conversation_id = 2 where id = 8",
		"insert into message (conversation_id, author_id, body) values (1, 1, 'Not in the list')",
		"insert into message (conversation_id, author_id, body) values (1, 1, 'Gone again')",
		"delete from message where id = 14")
	p.wait(`[...document.querySelectorAll('.frames [data-from=left] .type')].at(-1).innerText === 'afterDelete'`)
	p.wait(ids("left"))
	close(release)
	p.wait(ids("left", 7, 9, 10, 12, 13))
	p.wait(shows(message("left", 7), "Newer than the list"))
	p.wait(shows(message("left", 13), "Not in the list"))
}

func asksAgain(demo opener) {
	failures := make(chan struct{}, 1)
	failures <- struct{}{}
	p := demo(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/conversations/1/messages" {
				select {
				case <-failures:
					http.Error(w, `{"error": "not just now"}`, http.StatusServiceUnavailable)
					return
				default:
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	p.open(1, 2)
	p.wait(shows(pane("left", "alert"), "not just now"))
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
}

func takesSnapshots(demo opener) {
	p := demo(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/messages") && r.Method == http.MethodGet {
				<-r.Context().Done() // a list never comes
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	// A gateway may be told to write a bigint as a string.
	p.gateway.snapshots = func(int64) json.RawMessage {
		return json.RawMessage(`[{"id": "3", "conversation_id": "2", "author_id": "5", "body": "From the snapshot",
			"created_at": "2026-01-02T03:04:05+00:00", "edited_at": null}]`)
	}
	p.open(1, 2)
	p.wait(shows(message("right", 3), "From the snapshot"))
	p.wait(shows(message("right", 3), "Tomás"))
	p.sql("update message set body = 'From a frame' where id = 3")
	p.wait(shows(message("right", 3), "From a frame"))
	p.wait(ids("right", 3))
}

func changesConversation(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
	p.choose(pane("left", "conversation"), "3")
	p.wait(ids("left", 1, 2))
	p.wait(`location.hash === '#left=3&right=2'`)
	p.wait(fmt.Sprintf(`document.querySelector('%s').title === 'Move to Night shift'`, message("right", 3, "move")))
	p.sql("update message set body = 'For nobody here' where id = 6", "update message set body = 'For the left' where id = 1")
	p.wait(shows(message("left", 1), "For the left"))
	p.wait(ids("left", 1, 2))
	p.wait(`!document.querySelector('.frames').innerText.includes('For nobody here')`) // it was unsubscribed from
}

func reconnects(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(ids("right", 3, 4, 5, 11))
	p.gateway.close(1001, "going away")
	p.wait(count(`[data-role=status][data-state=waiting]`, 2))
	p.wait(shows(".frames", "closed 1001 going away"))
	p.sql("delete from message where id = 3", "update message set body = 'Changed meanwhile' where id = 4")
	p.gateway.reopen()
	p.wait(count(`[data-role=status][data-state=live]`, 2))
	p.wait(ids("right", 4, 5, 11))
	p.wait(shows(message("right", 4), "Changed meanwhile"))
	p.wait(shows(message("right", 4, "changed"), "body")) // nothing else of the row flashes
}

func staysAway(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(count(`[data-role=status][data-state=live]`, 2))
	p.gateway.close(4401, "unauthorized")
	p.wait(count(`[data-role=status][data-state=refused]`, 2))
	p.script(`dispatchEvent(new Event('online'))`) // on which a page that waits would come back at once
	p.wait(count(`[data-role=status][data-state=refused]`, 2))
}

func tellsRefusals(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
	p.gateway.fail("forbidden")
	p.wait(shows(pane("right", "alert"), "The gateway answers: forbidden"))
	p.gateway.hold()
	p.sql("delete from message where id = 6")
	p.click(message("left", 6, "delete"))
	p.wait(shows(pane("left", "alert"), "there is no such message"))
	p.wait(absent(message("left", 6) + ".pending"))
}

func learnsAuthors(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
	p.sql("insert into member (conversation_id, name) values (1, 'Noor')",
		"insert into message (conversation_id, author_id, body) values (1, 9, 'Hello, I am new')")
	p.wait(shows(message("left", 13), "Noor"))
	p.wait(fmt.Sprintf(`[...document.querySelector('%s').options].some(o => o.text === 'Noor')`, pane("left", "author")))
}

func textIsText(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
	const body = `<img src="nowhere" onerror="throw 1"> & <b>bold</b>`
	p.sql("insert into message (conversation_id, author_id, body) values (1, 1, '" + body + "')")
	p.wait(shows(message("left", 13)+" .body", body))
	p.wait(count("main img, main .body b, main .json b", 0))
}

func framesStrip(demo opener) {
	p := demo()
	p.open(1, 2)
	const lines = ".frames li:not([hidden])"
	p.wait(count(lines, 6)) // connected, subscribe and subscribed, twice
	p.choose(".frames [data-role=frame-direction]", "out")
	p.wait(count(lines, 2))
	p.choose(".frames [data-role=frame-direction]", "")
	p.keys(".frames [data-role=frame-filter]", `"value":2`)
	p.wait(count(lines, 2))
	p.wait(shows("[data-role=frame-count]", "2 of 6"))

	p.click(".frames [data-role=frame-pause]")
	p.sql("insert into message (conversation_id, author_id, body) values (1, 1, 'Left out by the filter')",
		"insert into message (conversation_id, author_id, body) values (2, 4, 'Held by the pause')")
	p.wait(shows("[data-role=frame-count]", "2 waiting"))
	p.wait(count(lines, 2))
	p.click(".frames [data-role=frame-pause]")
	p.wait(count(lines, 3))
	p.wait(shows(lines+":last-child", "Held by the pause"))

	p.click(".frames [data-role=frame-pretty]")
	p.wait(shows(lines+":last-child pre", `"tableName": "message"`))
	p.click(".frames [data-role=frame-clear]")
	p.wait(count(".frames li", 0))
}

func framesAreBounded(demo opener) {
	p := demo()
	p.open(1, 2)
	p.wait(count(".frames li", 6))
	p.sql("insert into message (conversation_id, author_id, body) select 1, 1, 'Message ' || n from generate_series(1, 350) n")
	p.wait(shows(message("left", 362), "Message 350"))
	p.wait(count(".frames li", 300))
	p.wait(shows(".frames li:last-child", "Message 350"))
}

// A column may have any name. To the page it is a name, and never what every object inherits from.
func TestW27ColumnNamesAreNames(t *testing.T) {
	p := newPage(browser(t), t)
	p.sql(`alter table message add column "__proto__" jsonb default '{"polluted": true}', add column "constructor" jsonb default '{"prototype": {"polluted": true}}',
		add column "toString" text default 'text', add column "hasOwnProperty" text default 'text', add column "<img src=x onerror=throw>" text default '<b>bold</b>'`)
	p.open(1, 2)
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
	p.sql("insert into message (conversation_id, author_id, body) values (1, 1, 'Ready?')")
	p.wait(shows(message("left", 13), "Ready?"))
	p.sql(`update message set body = 'Ready!', "__proto__" = '{"polluted": "twice"}', "constructor" = null where id = 13`)
	p.wait(shows(message("left", 13), "Ready!"))
	p.sql("delete from message where id = 13")
	p.wait(ids("left", 6, 7, 8, 9, 10, 12))
	p.wait(`({}).polluted === undefined && [].polluted === undefined && ({}).constructor === Object && String({}) === '[object Object]' &&
		typeof ({}).hasOwnProperty === 'function'`)
	p.wait(count("main img, main .json b, main .body b", 0))
}
