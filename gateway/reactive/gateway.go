package reactive

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/internal/app"
)

// Gateway is the http.Handler that upgrades requests to WebSocket connections and serves them. Mount it at the path that
// clients use. Its methods may be called from any goroutine.
type Gateway struct {
	service *app.Service
	stop    context.CancelFunc // begins to drain
	cut     context.CancelFunc // ends what takes too long
	done    chan struct{}
	err     error // of the service; to be read once done is closed
}

// settledEvery is how often Start looks whether clients can be served.
const settledEvery = 10 * time.Millisecond

// Start sets up the database, as far as Config allows, and returns when clients can be served or another gateway has the
// slot: then this one takes over when that one ends, and sends clients away until then. What has to be mended first is an
// error with the SQL, and what is wrong with the options is one with a line for each mistake; no goroutine is left behind
// an error. A database that does not answer is waited for.
//
// ctx bounds the start alone: its end later ends nothing. Whoever has started a gateway has to Stop it. There may be as many
// gateways in a process as have slots of their own.
func Start(ctx context.Context, o Options) (*Gateway, error) {
	functions := app.Functions{
		Authenticate: o.Authenticate, ParseNotify: o.ParseNotify, Channels: make(map[string]app.ChannelFunctions, len(o.Channels)),
	}
	for name, channel := range o.Channels {
		functions.Channels[name] = app.ChannelFunctions(channel)
	}
	service, err := app.NewService(o.Config, o.DatabaseURL, functions, cmp.Or(o.Log, zap.NewNop()))
	if err != nil {
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	g := &Gateway{service: service, done: make(chan struct{})}
	late, cut := context.WithCancel(context.WithoutCancel(ctx))
	running, stop := context.WithCancel(late)
	g.stop, g.cut = stop, cut
	go func() {
		defer close(g.done)
		defer cut()
		g.err = service.Run(running, late, func() {})
	}()
	if err := g.settle(ctx); err != nil {
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	return g, nil
}

// settle waits until the service is what it is going to be. With an error everything has ended.
func (g *Gateway) settle(ctx context.Context) error {
	ticker := time.NewTicker(settledEvery)
	defer ticker.Stop()
	for !g.service.Settled() {
		select {
		case <-ticker.C:
		case <-g.done:
			return g.err
		case <-ctx.Done():
			_, state := g.service.Ready()
			g.cut()
			<-g.done
			return cmp.Or(g.err, fmt.Errorf("%w while it was %s", context.Cause(ctx), state))
		}
	}
	return nil
}

// ServeHTTP implements http.Handler. It returns when the connection has ended. While no changes flow, and from Stop on, it
// answers 503. A page of another origin than the server's own gets 403, unless allowedOrigins in Config lists it. Where nobody asks
// clients who they are, so does a request for another Host than localhost, an IP address, the names in allowedHosts in Config and
// the hosts of allowedOrigins: a page can have a name of its own lead here.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.service.ServeHTTP(w, r) }

// Emit tells clients of events that the log does not bring, for channels with source: hook. They are one transaction; the
// position is its place among all. The error is an *ingest.Error, which says what is wrong with the events, ingest.ErrNotLive
// or that of ctx; then nobody was told anything. It does not wait for clients.
func (g *Gateway) Emit(ctx context.Context, events ...ingest.Event) (cdc.IngestPosition, error) {
	return g.service.Emit(ctx, events...)
}

// Hook is Emit for other programs: a handler of POST with the JSON of an event, or of an array of them, from whoever sends
// the token in Authorization: Bearer TOKEN. A token of less than 16 characters is an error.
func (g *Gateway) Hook(token string) (http.Handler, error) { return g.service.Hook(token) }

// Admin is the handler for operators: /healthz, /readyz, /metrics for Prometheus, and /status. It asks nobody who they are,
// so mount it where no client comes. It answers localhost, IP addresses and the names in allowedHosts in Config; other Hosts get 403.
func (g *Gateway) Admin() http.Handler { return g.service.Admin() }

// Ready tells whether clients should be sent here, and if not, why: connecting, catching up, standby, draining, or that there are no
// signing keys yet.
func (g *Gateway) Ready() (ready bool, why string) { return g.service.Ready() }

// Done is closed when everything has ended: after Stop, or after something failed that no retry mends.
func (g *Gateway) Done() <-chan struct{} { return g.done }

// Err is nil until Done is closed, and after a Stop with nothing else wrong. Else it is what failed.
func (g *Gateway) Err() error {
	select {
	case <-g.done:
		return g.err
	default:
		return nil
	}
}

// Stop sends the clients away with 1001, one after the other, delivers and acknowledges what was received, and returns when
// every goroutine of the gateway has ended. Where ctx ends before that, clients are cut off and the rest is cut short;
// Stop waits for that too, and returns ctx's error. What was cut short comes again at the next start. It may be called more
// than once.
//
// Call it before http.Server.Shutdown, which does not wait for WebSocket connections.
func (g *Gateway) Stop(ctx context.Context) error {
	g.stop()
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
		select {
		case <-g.done: // before it, for all that is known
			return nil
		default:
		}
		g.cut()
		<-g.done
		return fmt.Errorf("stop the gateway: %w", ctx.Err())
	}
}
