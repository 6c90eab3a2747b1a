package demo_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// browser starts a headless Chromium, which has to be installed. It ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // which root cannot have
		chromedp.DisableGPU,
		chromedp.Flag("force-prefers-reduced-motion", true), // animations cost a machine without a graphics card much
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancelAllocator)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start a browser for the tests of the page (install chromium or Chrome): %v", err)
	}
	return ctx
}

// demoPage is the demo's page in a tab, with a fake gateway beside its handler.
type demoPage struct {
	t       *testing.T
	ctx     context.Context
	site    *site
	gateway *fakeGateway
}

// newPage makes a demo on a database of its own. It is not open yet. More handlers may be laid over the demo's.
func newPage(browser context.Context, t *testing.T, over ...func(http.Handler) http.Handler) *demoPage {
	t.Helper()
	p := &demoPage{t: t}
	over = append(over, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.gateway.over(next).ServeHTTP(w, r) })
	})
	p.site = serve(t, over...)
	p.gateway = newFakeGateway(t, p.site.database)
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p.ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	return p
}

// open loads the page with two conversations. What it throws, or what its content security policy blocks, fails the
// test.
func (p *demoPage) open(left, right int) {
	p.t.Helper()
	ended := make(chan struct{})
	console := chromedp.Console(p.ctx)
	listening, cancel := context.WithCancel(p.ctx)
	go func() {
		defer close(ended)
		for message, err := range console {
			if err != nil || listening.Err() != nil {
				return
			}
			if message.IsException() || message.Source == "security" || message.Source == "" && message.Type == chromedp.ConsoleError {
				p.t.Errorf("the page's console: %s (%s, line %d)", message, message.URL, message.Line+1)
			}
		}
	}()
	p.t.Cleanup(func() {
		cancel()
		if err := chromedp.Cancel(p.ctx); err != nil { // which ends the console
			p.t.Errorf("close the tab: %v", err)
		}
		<-ended
	})
	if err := chromedp.Do(p.ctx, chromedp.Navigate(fmt.Sprintf("%s/#left=%d&right=%d", p.site.URL, left, right))); err != nil {
		p.t.Fatalf("open the page: %v", err)
	}
}

// wait waits until the JavaScript expression is true.
func (p *demoPage) wait(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.querySelector('main').innerText"))
		p.t.Fatalf("wait until %s: %v; the page shows:\n%s", expression, err, text)
	}
}

func (p *demoPage) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("drive the page: %v", err)
	}
}

func (p *demoPage) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(selector))
}

func (p *demoPage) keys(selector, keys string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(selector, keys))
}

// choose picks the option with the value.
func (p *demoPage) choose(selector, value string) {
	p.t.Helper()
	p.script(fmt.Sprintf(`const list = document.querySelector(%q); list.value = %q; list.dispatchEvent(new Event('change'))`, selector, value))
}

// script runs JavaScript statements.
func (p *demoPage) script(statements string) {
	p.t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[any]("{ "+statements+"; null }")); err != nil {
		p.t.Fatalf("run %s: %v", statements, err)
	}
}

// sql runs statements in the demo's database, as somebody with psql would.
func (p *demoPage) sql(statements ...string) {
	p.t.Helper()
	pgtest.Exec(p.t, p.site.database, statements...)
}

// text gives what the element shows.
func (p *demoPage) text(selector string) string {
	p.t.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Text(selector))
	if err != nil {
		p.t.Fatalf("text of %s: %v", selector, err)
	}
	return text
}

// pane selects the element of a role in a pane.
func pane(side, role string) string {
	return fmt.Sprintf(`[data-pane=%s] [data-role="%s"]`, side, role)
}

// message selects a message in a pane, or the element of a role in it.
func message(side string, id int, role ...string) string {
	selector := fmt.Sprintf(`[data-pane=%s] [data-message-id="%d"]`, side, id)
	for _, r := range role {
		selector += fmt.Sprintf(` [data-role="%s"]`, r)
	}
	return selector
}

// shows is true when the element shows the text.
func shows(selector, text string) string {
	return fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "").includes(%q)`, selector, text)
}

func present(selector string) string {
	return fmt.Sprintf(`document.querySelector(%q) !== null`, selector)
}

func absent(selector string) string {
	return fmt.Sprintf(`document.querySelector(%q) === null`, selector)
}

// count is true when so many elements match.
func count(selector string, n int) string {
	return fmt.Sprintf(`document.querySelectorAll(%q).length === %d`, selector, n)
}

// ids is true when the pane shows just these messages, in this order.
func ids(side string, ids ...int) string {
	list := strings.ReplaceAll(strings.Trim(fmt.Sprint(ids), "[]"), " ", ",")
	return fmt.Sprintf(`[...document.querySelectorAll('[data-pane=%s] [data-message-id]')].map(m => m.dataset.messageId).join() === %q`, side, list)
}
