package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/gateway"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/internal/metrics"
	"github.com/reactive-gw/reactive-gw/wal"
)

const (
	handoffBytes    = 64 << 20
	checkpointEvery = 5 * time.Second
	pingTimeout     = 10 * time.Second
	headerTimeout   = 10 * time.Second
	requestTimeout  = 30 * time.Second // for the body of a plain request, and for its answer
	idleTimeout     = time.Minute      // between two plain requests on a connection
	maxHeaderBytes  = 32 << 10
	lastRequests    = time.Second // what plain HTTP requests get to finish at the end
	databaseRetry   = time.Second
)

// server is one serving gateway with all that it consists of.
type server struct {
	cfg *config.Config
	log *zap.Logger
	// handler answers on the public listener for every path but the WebSocket's; nil is 404.
	handler http.Handler
	// onListening, if not nil, is called when clients can connect.
	onListening func()

	public, admin net.Listener // admin may be nil
	database      *wal.Server
	snapshotPool  *pgxpool.Pool
	accessPool    *pgxpool.Pool
	// running is set once the gateway serves; until then the admin listener says "starting".
	running  atomic.Pointer[parts]
	draining atomic.Bool
}

// parts are what exists only after the database was found and set up.
type parts struct {
	source   *wal.Source
	hub      *fanout.Hub
	gateway  *gateway.Gateway
	channels []fanout.Channel // those of the log
	access   *access
	pipeline *cdc.Pipeline
	ingest   *ingest.Ingest
	hook     http.Handler  // takes events by POST; nil where none come so
	listener *wal.Listener // nil where nothing listens
	pressure atomic.Pointer[wal.Pressure]
}

// serve runs the gateway until ctx ends, which is no error, or until something fails that no retry mends. After ctx's end
// it drains: clients are sent away, what was received is delivered and acknowledged.
func (s *server) serve(ctx context.Context) error {
	if err := s.listen(ctx); err != nil {
		return err
	}
	defer s.public.Close()
	// Both outlive ctx: clients get their changes, and operators their answers, while connections drain.
	late, stopLate := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLate()
	g, ctx := errgroup.WithContext(ctx)
	if s.admin != nil {
		g.Go(func() error { return s.serveHTTP(late, s.admin, s.adminHandler()) })
	}
	g.Go(func() error { return s.serveHTTP(late, s.public, s.publicHandler()) })
	g.Go(func() error {
		defer stopLate()
		return s.work(ctx, late)
	})
	return g.Wait()
}

// listen takes the addresses first: that one is in use is better known before the database is touched.
func (s *server) listen(ctx context.Context) error {
	var listen net.ListenConfig
	var err error
	if s.public, err = listen.Listen(ctx, "tcp", s.cfg.Listen); err != nil {
		return listenError("clients", "--listen", err)
	}
	if s.cfg.Admin == "" {
		return nil
	}
	if s.admin, err = listen.Listen(ctx, "tcp", s.cfg.Admin); err != nil {
		s.public.Close()
		return listenError("operators", "--admin", err)
	}
	return nil
}

func listenError(whom, flag string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen for %s: %w: stop what listens there, or give %s another address", whom, err, flag)
	}
	return fmt.Errorf("listen for %s: %w", whom, err)
}

// work sets up the database, serves clients until ctx ends, and takes everything down in order. late ends after it.
func (s *server) work(ctx, late context.Context) error {
	pool, err := wal.OpenPool(ctx, s.cfg.DatabaseURL.Reveal())
	if err != nil {
		return err
	}
	defer pool.Close()
	// Pools of their own, so that a storm of snapshots, or a table that is locked for long, keeps neither checkpoints nor
	// the set-up from the database, nor makes an authorizer deny for want of an answer.
	if s.snapshotPool, err = wal.OpenPool(ctx, s.cfg.DatabaseURL.Reveal()); err != nil {
		return err
	}
	defer s.snapshotPool.Close()
	if s.accessPool, err = wal.OpenPool(ctx, s.cfg.DatabaseURL.Reveal()); err != nil {
		return err
	}
	defer s.accessPool.Close()
	s.database = &wal.Server{
		Pool: pool, Slot: s.cfg.Slot, Publication: s.cfg.Publication, Mode: wal.SetupMode(s.cfg.Setup), Log: s.log.Named("wal"),
	}
	p, err := s.prepare(ctx)
	if err != nil || p == nil {
		return err
	}
	defer p.access.close()
	switch err := p.access.start(ctx); {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("prepare authentication: %w", err)
	}
	s.running.Store(p)

	s.log.Info("serving", zap.String("clients", "ws://"+hostPort(s.public.Addr())+s.cfg.Path), zap.String("operators", s.adminURL()))
	if s.onListening != nil {
		s.onListening()
	}
	streaming, stopStreaming := context.WithCancel(late)
	defer stopStreaming()
	g, failed := errgroup.WithContext(ctx)
	g.Go(func() error { return p.pipeline.Run(streaming) })
	g.Go(func() error { p.hub.Run(streaming); return nil })
	g.Go(func() error { s.watchSlot(streaming, p); return nil })
	g.Go(func() error { s.watchLayouts(streaming, p.hub, p.channels); return nil })
	if p.listener != nil {
		g.Go(func() error { p.listener.Run(streaming); return nil })
	}
	g.Go(func() error {
		<-failed.Done()
		s.draining.Store(true)
		s.log.Info("draining", zap.Int("connections", p.gateway.Stats().Connections))
		drain, cancel := context.WithTimeout(late, s.cfg.DrainTimeout)
		defer cancel()
		p.gateway.Drain(drain)
		stopStreaming()
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	s.log.Info("stopped", zap.Stringer("acknowledged", p.source.Stats().Acked))
	return nil
}

func (s *server) adminURL() string {
	if s.admin == nil {
		return "none"
	}
	return "http://" + hostPort(s.admin.Addr())
}

// prepare inspects and sets up the database, and puts the parts together. It waits for a server that does not answer.
// Without an error and without parts, ctx has ended.
func (s *server) prepare(ctx context.Context) (*parts, error) {
	for {
		p, err := s.tryPrepare(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case err == nil || !wal.Temporary(err) || operatorsFault(err):
			return p, err
		}
		s.log.Warn("the database does not answer: trying again", zap.Error(err))
		select {
		case <-time.After(databaseRetry):
		case <-ctx.Done():
		}
	}
}

// operatorsFault: at the start also what may pass is said at once, and ends it.
func operatorsFault(err error) bool {
	var config *config.Error
	var setup *wal.SetupError
	return errors.As(err, &config) || errors.As(err, &setup)
}

func (s *server) tryPrepare(ctx context.Context) (p *parts, err error) {
	facts, err := s.database.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	tables, err := resolve(ctx, s.cfg, facts, s.accessPool, s.log)
	if err != nil {
		return nil, err
	}
	want := tables.wants(s.cfg)
	spill := cdc.Spill{Bytes: s.cfg.SpillBytes, Dir: s.cfg.SpillDir}
	if err := spill.Check(); err != nil {
		return nil, config.NewError(s.cfg.Problem("spillDir", err.Error(), "name a directory that exists and that the gateway's user may write"))
	}
	// Before the database is changed, for it finds out what is wrong with the configuration.
	access, err := newAccess(ctx, s.cfg, s.accessPool, s.log.Named("auth"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			access.close()
		}
	}()
	token, err := ingestToken(s.cfg)
	if err != nil {
		return nil, err
	}
	unguarded, err := access.guards(ctx, s.accessPool, facts, tables, s.cfg.Publication)
	if err != nil {
		return nil, err
	}
	for _, f := range slices.Concat(facts.Findings(want), tables.findings, unguarded) {
		if f.Level == wal.Warn {
			s.log.Warn("setup: "+f.Check, zap.String("detail", f.Detail))
		}
	}
	p = &parts{access: access, channels: tables.channels}
	unknown := wal.UnknownPressure()
	p.pressure.Store(&unknown)
	p.hub, err = fanout.NewHub(fanout.Options{
		Channels: tables.allChannels(), QueueBytes: s.cfg.QueueBytes, Log: s.log.Named("fanout"), Resume: fanout.ResumeOptions(s.cfg.Resume), Nudge: s.database.Nudge,
		Snapshots: snapshots{&wal.Snapshotter{
			Pool: s.snapshotPool, Publication: s.cfg.Publication, Version: facts.Version, Types: tables.types, MaxBytes: s.cfg.QueueBytes / 2,
		}, tables.matches, tables.unpublished()},
		Visible: (&wal.Snapshotter{Pool: s.accessPool}).Visibility,
	})
	if err != nil {
		return nil, err
	}
	p.ingest, err = newIngest(ctx, s.cfg, tables, facts, s.database.Pool, ingest.Options{
		Sink: p.hub, Live: func() bool { return p.source.Stats().State == wal.Live }, Log: s.log.Named("ingest"),
	})
	if err != nil {
		return nil, err
	}
	p.hook = p.ingest.Handler(token)
	p.listener = newListener(s.cfg, tables, p.ingest, p.hub, s.log.Named("ingest"))
	if err := setUp(ctx, s.database, facts, want, s.log); err != nil {
		return nil, err
	}
	tracker := &cdc.Tracker{}
	checkpoints := &wal.Checkpoints{Pool: s.database.Pool, Slot: s.cfg.Slot}
	p.source = wal.NewSource(s.database, s.cfg.DatabaseURL.Reveal(), want, tracker, checkpoints, tables.types)
	p.source.Events, p.source.Spill = p.ingest, spill
	p.pipeline = &cdc.Pipeline{
		Source: p.source, Sink: p.hub, Tracker: tracker, Checkpoints: checkpoints, CheckpointEvery: checkpointEvery,
		HandoffBytes:      handoffBytes,
		OnCheckpointError: func(err error) { s.log.Warn("checkpoint", zap.Error(err)) },
	}
	p.gateway = gateway.New(gateway.Options{
		Hub: p.hub, Log: s.log.Named("gateway"), Authenticate: p.access.authenticator, Authorize: p.access.authorizers,
		AllowedOrigins: s.cfg.AllowedOrigins,
		MaxConnections: s.cfg.MaxConnections, MaxSubscriptions: s.cfg.MaxSubscriptions, MaxMessages: s.cfg.MaxMessagesPerSecond,
		PingInterval: s.cfg.PingInterval, PingTimeout: pingTimeout, WriteTimeout: s.cfg.WriteTimeout,
		// While a stream is interrupted clients may come and wait: it will bring what was missed. But before it was ever
		// live it brings what is older than they are, and while another gateway has the slot it brings nothing.
		Serving: func() bool {
			source := p.source.Stats()
			return source.WasLive && source.State != wal.Standby
		},
	})
	for _, ch := range tables.allChannels() {
		s.log.Info("channel", zap.String("name", ch.Name), zap.String("table", ch.Schema+"."+ch.Table), zap.Strings("scopes", scopeNames(ch)))
	}
	return p, nil
}

func scopeNames(ch fanout.Channel) []string {
	var names []string
	for _, scope := range ch.Scopes {
		names = append(names, scope.Column)
	}
	return names
}

// publicHandler sends clients away, rather than let them wait, until there is a gateway.
func (s *server) publicHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(s.cfg.Path, func(w http.ResponseWriter, r *http.Request) {
		if p := s.running.Load(); p != nil {
			p.gateway.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the gateway is starting", http.StatusServiceUnavailable)
	})
	if s.cfg.Ingest != nil && s.cfg.Ingest.Hook != nil {
		mux.HandleFunc(s.cfg.Ingest.Hook.Path, s.ingestHandler)
	}
	if s.handler != nil {
		mux.Handle("/", s.handler)
	}
	return mux
}

// serveHTTP serves a listener until ctx ends.
func (s *server) serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	httpServer := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: zap.NewStdLog(s.log.Named("http")),
	}
	if listener == s.public {
		// Not for operators, whose profiles take longer. A connection that has become a WebSocket has time limits of its own.
		httpServer.ReadTimeout, httpServer.WriteTimeout = requestTimeout, requestTimeout
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRequests)
		defer cancel()
		if httpServer.Shutdown(ctx) != nil {
			httpServer.Close()
		}
	})
	err := httpServer.Serve(listener)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", listener.Addr(), err)
}

func (s *server) adminHandler() http.Handler {
	return gateway.Admin{Ready: s.ready, Status: s.status, Profiling: s.cfg.Pprof, Metrics: metrics.Handler(s.figures())}.Handler()
}

// ready is true only while the stream is live and past the place where the server was when it connected.
func (s *server) ready() (bool, string) {
	p := s.running.Load()
	if s.draining.Load() {
		return false, "draining"
	}
	if p == nil {
		return false, "starting"
	}
	state := p.source.Stats().State
	return state == wal.Live, state.String()
}

// figures are those of nothing until the gateway serves.
func (s *server) figures() metrics.Sources {
	return metrics.Sources{
		Version:  Version(),
		Source:   whenRunning(s, func(p *parts) wal.Stats { return p.source.Stats() }, wal.Stats{}),
		Hub:      whenRunning(s, func(p *parts) fanout.Stats { return p.hub.Stats() }, fanout.Stats{}),
		Gateway:  whenRunning(s, func(p *parts) gateway.Stats { return p.gateway.Stats() }, gateway.Stats{}),
		Ingest:   whenRunning(s, func(p *parts) ingest.Stats { return p.ingest.Stats() }, ingest.Stats{}),
		Pressure: whenRunning(s, func(p *parts) wal.Pressure { return *p.pressure.Load() }, wal.UnknownPressure()),
	}
}

func whenRunning[T any](s *server, read func(*parts) T, otherwise T) func() T {
	return func() T {
		if p := s.running.Load(); p != nil {
			return read(p)
		}
		return otherwise
	}
}
