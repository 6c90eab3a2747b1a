package gateway

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Options configure a Gateway. All are required unless said otherwise.
type Options struct {
	Hub *fanout.Hub
	Log *zap.Logger
	// Authenticate says who connects; nil asks nobody. Whom it refuses is closed with 4401, and so is everyone at the time
	// at which their credentials expire. Where it cannot say (auth.Undecided), the client is closed with 1013.
	Authenticate auth.Authenticator
	// Hosts are those that are answered where Authenticate is nil.
	Hosts Hosts
	// Refusals counts and logs what is refused; nil is one of the gateway's own.
	Refusals *Refusals
	// Authorize says who may subscribe, by channel; a channel without one is everyone's who got in.
	Authorize map[string]auth.Authorizer
	// AllowedOrigins lists origins, scheme://host[:port], whose pages may connect beside those of the gateway's own host.
	AllowedOrigins []string
	// MaxConnections and MaxSubscriptions, the latter per connection: over either the connection is closed with 4429.
	MaxConnections   int
	MaxSubscriptions int
	// MaxMessages is how many messages a client may send in a second, on the average of ten; at once it may also send as many
	// as it may have subscriptions, for it subscribes to all of them when it comes back. Over that it is closed with 4429.
	// Zero is no limit.
	MaxMessages int
	// PingInterval is how often a connection is asked for a sign of life. One that gives none within PingTimeout ends.
	PingInterval time.Duration
	PingTimeout  time.Duration
	// WriteTimeout is how long a client that is behind may take for the next few kilobytes of what waits for it.
	WriteTimeout time.Duration
	// Compression lets clients ask for compressed messages (RFC 7692). They cost the gateway time and save the network bytes.
	Compression bool
	// Serving tells whether subscriptions would be served at the moment; nil is always. While it is false, new
	// connections are sent away with 503.
	Serving func() bool
	// Now is the clock by which credentials expire; nil is time.Now.
	Now func() time.Time
}

// Gateway is the http.Handler that upgrades requests to WebSocket connections and serves them. Mount it at the path that
// clients use, and Drain it before the process ends: http.Server.Shutdown does not wait for upgraded connections.
type Gateway struct {
	options Options

	mu          sync.Mutex
	sessions    map[*session]struct{} // those that are told to go included
	connections int                   // places taken, of MaxConnections
	rejecting   int                   // places taken, of maxRejecting
	draining    bool
	accepted    uint64
	rejected    uint64

	anonymous *auth.Principal // everybody, where nobody is asked who he is
	writers   *writers
	heartbeat *heartbeat
	running   sync.WaitGroup // the connections
}

// maxRejecting bounds the connections that are open only to be told why they are refused. Beyond it the answer is a plain
// 503 or 401.
const maxRejecting = 256

// New makes a gateway for a hub that serves no other. It starts nothing.
func New(options Options) *Gateway {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Refusals == nil {
		options.Refusals = NewRefusals(options.Log)
	}
	g := &Gateway{options: options, sessions: map[*session]struct{}{}, anonymous: auth.Anonymous(), writers: newWriters()}
	g.heartbeat = newHeartbeat(g)
	options.Hub.SetSender(g.writers)
	return g
}

// ServeHTTP implements http.Handler. It returns when the connection is upgraded and goes on without the request, which can be
// forgotten then: it would take more room than all else of a connection that has nothing to do.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.options.Authenticate == nil && !g.options.Hosts.Allows(r.Host) {
		g.options.Refusals.refuseHost(w, r)
		return
	}
	if !originAllowed(r, g.options.AllowedOrigins) {
		g.options.Refusals.noteRequest(RefusedOrigin, r, zap.String("origin", shown(strings.Join(r.Header.Values("Origin"), ", "))),
			zap.String("host", shown(r.Host)), zap.String("do", "list it in allowedOrigins if its pages may connect"))
		http.Error(w, "this origin may not connect: list it in allowedOrigins", http.StatusForbidden)
		return
	}
	if g.options.Serving != nil && !g.options.Serving() {
		Unavailable(w, "no changes are flowing yet")
		return
	}
	full, why := g.enter()
	if full {
		g.options.Refusals.noteRequest(RefusedConnections, r, zap.Int("maxConnections", g.options.MaxConnections))
	}
	if why != "" {
		Unavailable(w, why)
		return
	}
	rejecting, upgraded := full, false
	defer func() {
		if !upgraded {
			g.exit(rejecting)
		}
	}()
	var principal *auth.Principal
	var denied error
	if !full {
		principal, denied = g.authenticate(r)
	}
	if denied != nil {
		g.noteDenied("not authenticated", denied, r.RemoteAddr)
		// A goodbye takes its time: those who do not get in must not take the place of those who do.
		if !g.demote() {
			if auth.Undecided(denied) {
				Unavailable(w, "it could not be found out who you are")
			} else {
				http.Error(w, "not authenticated", http.StatusUnauthorized)
			}
			return
		}
		rejecting = true
	}
	socket, err := accept(w, r, &g.options)
	if err != nil {
		g.options.Log.Debug("no upgrade", zap.Error(err))
		return
	}
	upgraded = true
	ctx := context.WithoutCancel(r.Context())
	go func() {
		defer g.exit(rejecting)
		g.serve(ctx, socket, principal, full, denied)
	}()
}

// serve serves an upgraded connection until it has ended. Whoever is full or denied is only told so.
func (g *Gateway) serve(ctx context.Context, socket *socket, principal *auth.Principal, full bool, denied error) {
	defer g.recovered(socket)
	abilities := socket.abilities()
	if full || denied != nil {
		abilities = nil
	}
	s := newSession(g, socket, g.options.Hub.Attach(principal, abilities...), principal)
	defer s.client.Detach()
	draining := g.add(s, full)
	defer g.remove(s)
	switch {
	case draining:
		socket.close(protocol.CloseGoingAway)
	case full: // the protocol's own way of saying so: a browser hides the status of a failed upgrade
		socket.close(protocol.CloseLimitExceeded)
	case auth.Undecided(denied): // likewise; it may come again with the same token
		socket.close(protocol.CloseTryAgainLater)
	case denied != nil: // likewise
		socket.close(protocol.CloseUnauthorized)
	default:
		s.serve(ctx)
	}
}

// recovered is deferred: one connection's panic must not be the end of all. The server does the same for a handler.
func (g *Gateway) recovered(socket *socket) {
	if v := recover(); v != nil {
		g.options.Log.Error("panic while serving a connection", zap.Any("panic", v), zap.Stack("stack"))
		socket.abort()
	}
}

// noteDenied notes that somebody did not get in, or may not stay. At debug each one has a line of its own.
func (g *Gateway) noteDenied(what string, denied error, remote string) {
	g.options.Log.Debug(what, zap.Error(denied), zap.String("remote", remote))
	reason := RefusedToken
	if auth.Undecided(denied) {
		reason = RefusedUndecided
	}
	g.options.Refusals.note(reason, zap.Error(denied), zap.String("remote", remote))
}

// Unavailable answers 503, and says when to ask again (RFC 9110, section 10.2.3).
func Unavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(protocol.RetryAfter/time.Second)))
	http.Error(w, why, http.StatusServiceUnavailable)
}

// enter takes a place for a connection, where they are full one of the few in which a client is told so. why says that
// there is none. Drain waits for whoever has entered.
func (g *Gateway) enter() (full bool, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	full = g.connections >= g.options.MaxConnections
	switch {
	case g.draining:
		return full, "the gateway is shutting down"
	case !full:
		g.connections++
	case g.rejecting < maxRejecting:
		g.rejected++
		g.rejecting++
	default:
		g.rejected++
		return full, "too many connections"
	}
	g.running.Add(1)
	return full, ""
}

// demote exchanges a place for a connection with one of the few for those who are sent away. It returns false where there
// is none.
func (g *Gateway) demote() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rejecting >= maxRejecting {
		return false
	}
	g.rejecting++
	g.connections--
	return true
}

// exit gives the place back.
func (g *Gateway) exit(rejecting bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if rejecting {
		g.rejecting--
	} else {
		g.connections--
	}
	g.running.Done()
}

// add makes the session known to Drain, or tells that it came too late.
func (g *Gateway) add(s *session, full bool) (draining bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions[s] = struct{}{}
	g.heartbeat.begin()
	if !full && !g.draining {
		g.accepted++
	}
	return g.draining
}

func (g *Gateway) remove(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s)
}

// Stats is a moment's view of a gateway.
type Stats struct {
	Connections int    // those being upgraded included
	Accepted    uint64 // since the start
	Rejected    uint64 // over MaxConnections, since the start
	// Frames were sent by so many Writes since the start, each of them a system call, those included of which a peer that is
	// behind took only a part: what gathers while a connection is busy goes out in one.
	Frames, Writes uint64
}

// Stats may be called from any goroutine.
func (g *Gateway) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{
		Connections: g.connections, Accepted: g.accepted, Rejected: g.rejected, Frames: g.writers.frames.Load(), Writes: g.writers.writes.Load(),
	}
}
