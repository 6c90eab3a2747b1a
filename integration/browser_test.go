package integration_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// One pane writes, edits, moves and deletes; the other shows it, by way of PostgreSQL's log and a WebSocket.
func TestInABrowserWhatOnePaneDoesTheOtherShows(t *testing.T) {
	onAnyServer(t)
	d := startDemo(t, nil)
	p := open(t, d.page+"#left=1&right=1")
	p.wait(`document.querySelectorAll('[data-role=status][data-state=live]').length === 2`)

	const text = "Written on the left"
	p.do(chromedp.SendKeys(`[data-pane=left] [data-role=compose]`, text), chromedp.Click(`[data-pane=left] [data-role=send]`))
	right := fmt.Sprintf(`[...document.querySelectorAll('[data-pane=right] [data-message-id]')].filter(m => m.querySelector('.body').innerText === %q)`, text)
	p.wait(right + `.length === 1`)
	id, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](right+`[0].dataset.messageId`))
	if err != nil {
		t.Fatal(err)
	}
	message := func(side string) string { return fmt.Sprintf(`[data-pane=%s] [data-message-id="%s"]`, side, id) }
	shows := func(side, text string) string {
		return fmt.Sprintf(`document.querySelector('%s .body')?.innerText === %q`, message(side), text)
	}
	p.wait(shows("left", text))

	p.do(chromedp.Click(message("right")+` [data-role=edit]`), chromedp.SetValue(message("right")+` [data-role=edit-text]`, "Edited on the right"),
		chromedp.Click(message("right")+` [data-role=save]`))
	p.wait(shows("left", "Edited on the right") + ` && ` + shows("right", "Edited on the right"))

	if got := pgtest.Query[string](t, d.database, `select body from message where id = `+id); got != "Edited on the right" {
		t.Errorf("the database has %q", got)
	}
	p.do(chromedp.Click(message("left") + ` [data-role=delete]`))
	p.wait(fmt.Sprintf(`document.querySelector('%s') === null && document.querySelector('%s') === null`, message("left"), message("right")))

	written := pgtest.Query[string](t, d.database, `insert into message (conversation_id, author_id, body) select 1, id, 'Written with psql' from member where conversation_id = 1 limit 1 returning id::text`)
	p.wait(fmt.Sprintf(`document.querySelectorAll('[data-message-id="%s"]').length === 2`, written))
	p.close()
	d.ends()
}

// page is a tab of a browser.
type page struct {
	t     *testing.T
	ctx   context.Context
	close func() // ends the browser; also done with the test
}

// open opens a page in a headless browser.
func open(t *testing.T, address string) *page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // which root cannot have
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	browser, cancelBrowser := chromedp.NewContext(allocator)
	ctx, cancel := context.WithTimeout(browser, 2*patience)
	p := &page{t: t, ctx: ctx, close: func() { cancel(); cancelBrowser(); cancelAllocator() }}
	t.Cleanup(p.close)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start a browser (install chromium or Chrome, for example with apt-get install chromium): %v", err)
	}
	p.do(chromedp.Navigate(address))
	return p
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatalf("drive the page: %v", err)
	}
}

// wait waits until the JavaScript expression is true.
func (p *page) wait(expression string) {
	p.t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		p.t.Fatalf("wait until %s: %v; the page shows:\n%s", expression, err, text)
	}
}
