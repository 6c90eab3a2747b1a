package app

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
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
	databaseRetry   = time.Second
)

// Service is one gateway with all that it consists of but the listeners: it serves requests that somebody hands to it.
type Service struct {
	cfg       *config.Config
	log       *zap.Logger
	functions Functions
	refusals  *gateway.Refusals
	// descriptors is what the process may have open, and embedded that the listeners are somebody else's.
	descriptors descriptors
	embedded    bool

	database     *wal.Server
	snapshotPool *pgxpool.Pool
	// queryPath is that of authorizers and scopes, queryPool for snapshots that ask operators' queries.
	queryPath *queryPath
	queryPool *pgxpool.Pool
	// running is set once the gateway serves; until then operators are told "starting".
	running  atomic.Pointer[parts]
	waitsFor atomic.Pointer[wal.Verdict] // while it is starting; nil where nothing is known to be waited for
	draining atomic.Bool
}

// parts are what exists only after the database was found and set up.
type parts struct {
	source   *wal.Source
	hub      *fanout.Hub
	gateway  *gateway.Gateway
	channels []fanout.Channel // those of the log
	wanted   wal.Wanted
	access   *access
	pipeline *cdc.Pipeline
	ingest   *ingest.Ingest
	hook     http.Handler  // takes events by POST; nil where none come so
	listener *wal.Listener // nil where nothing listens
	pressure atomic.Pointer[wal.Pressure]
	exposed  *exposure // nil where a configuration says what is served
}

func newService(cfg *config.Config, functions Functions, log *zap.Logger) *Service {
	return &Service{cfg: cfg, functions: functions, log: log, refusals: gateway.NewRefusals(log.Named("gateway")), descriptors: countDescriptors(cfg)}
}

// Run sets up the database, serves clients until ctx ends, and takes everything down in order: clients are sent away, what
// was received is delivered and acknowledged. Where late ends before that is done, the rest is cut short. serving is called
// when requests can be handed over. The end of ctx is no error. A Service runs once.
func (s *Service) Run(ctx, late context.Context, serving func()) error {
	if s.descriptors.short() {
		s.log.Warn("few file descriptors", zap.String("detail", s.descriptors.String()), zap.String("do", s.descriptors.remedy()))
	}
	pool, err := wal.OpenPool(ctx, s.cfg.DatabaseURL.Reveal(), wal.PoolOptions{})
	if err != nil {
		return err
	}
	defer pool.Close()
	// Pools of their own, so that a storm of snapshots, or a table that is locked for long, keeps neither checkpoints nor
	// the set-up from the database, nor lets an authorizer wait.
	if s.snapshotPool, err = s.openSnapshotPool(ctx, wal.PoolOptions{}); err != nil {
		return err
	}
	defer s.snapshotPool.Close()
	defer s.closeQueryPools()
	if ignored := wal.IgnoredParameters(s.cfg.DatabaseURL.Reveal()); len(ignored) > 0 {
		s.log.Warn("parameters of databaseUrl have no effect here", zap.Strings("parameters", ignored))
	}
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

	serving()
	streaming, stopStreaming := context.WithCancel(late)
	defer stopStreaming()
	g, failed := errgroup.WithContext(ctx)
	g.Go(func() error { return p.pipeline.Run(streaming) })
	g.Go(func() error { p.hub.Run(streaming); return nil })
	g.Go(func() error { s.watchSlot(streaming, p); return nil })
	g.Go(func() error { s.watchLayouts(streaming, p.hub, p.channels); return nil })
	g.Go(func() error {
		s.database.Prepare(streaming, p.wanted, func() bool { return p.source.Stats().State != wal.Standby })
		return nil
	})
	if p.listener != nil {
		g.Go(func() error { p.ingest.Run(streaming); return nil })
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

// prepare inspects and sets up the database, and puts the parts together. It waits for what passes by itself, and says
// what that is. Without an error and without parts, ctx has ended.
func (s *Service) prepare(ctx context.Context) (*parts, error) {
	waits := waiting{log: s.log}
	for {
		p, err := s.tryPrepare(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case err == nil:
			s.waitsFor.Store(nil)
			if p.exposed != nil {
				p.exposed.warn(s.log)
			}
			return p, nil
		case !wal.Temporary(err):
			return nil, explain(s.cfg, err)
		}
		s.waitsFor.Store(waits.say(err, time.Now()))
		select {
		case <-time.After(databaseRetry):
		case <-ctx.Done():
		}
	}
}

// openQueryPools makes the pools whose search_path has to be read first.
func (s *Service) openQueryPools(ctx context.Context) (err error) {
	s.closeQueryPools()
	if s.queryPath, err = openQueryPath(ctx, s.cfg); err != nil {
		return err
	}
	s.queryPool, err = s.openSnapshotPool(ctx, wal.PoolOptions{Path: s.queryPath.Trusted, Views: true})
	return err
}

// openSnapshotPool makes a pool for snapshots. No row of one may be larger than all rows.
func (s *Service) openSnapshotPool(ctx context.Context, options wal.PoolOptions) (*pgxpool.Pool, error) {
	options.MaxConns, options.MaxRowBytes = int32(s.cfg.DatabasePool), s.snapshotBytes()
	return wal.OpenPool(ctx, s.cfg.DatabaseURL.Reveal(), options)
}

// snapshotBytes is how much a snapshot may have: it waits in the client's queue, with what comes meanwhile.
func (s *Service) snapshotBytes() int { return s.cfg.QueueBytes / 2 }

func (s *Service) closeQueryPools() {
	if s.queryPath != nil {
		s.queryPath.pool.Close()
	}
	if s.queryPool != nil {
		s.queryPool.Close()
	}
	s.queryPath, s.queryPool = nil, nil
}

func (s *Service) tryPrepare(ctx context.Context) (p *parts, err error) {
	facts, err := s.database.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.openQueryPools(ctx); err != nil {
		return nil, err
	}
	tables, err := resolve(ctx, s.cfg, s.functions, facts, s.queryPath, s.log)
	if err != nil {
		return nil, err
	}
	want := tables.wants(s.cfg)
	spill := cdc.Spill{Bytes: s.cfg.SpillBytes, Dir: s.cfg.SpillDir}
	if err := spill.Check(); err != nil {
		return nil, config.NewError(s.cfg.Problem("spillDir", err.Error(), "name a directory that exists and that the gateway's user may write"))
	}
	// Before the database is changed, for it finds out what is wrong with the configuration.
	access, err := newAccess(ctx, s.cfg, s.functions, tables, s.queryPath, s.log.Named("auth"))
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
	unguarded, err := access.guards(ctx, s.queryPath.pool, facts, tables, s.cfg.Publication)
	if err != nil {
		return nil, err
	}
	refused, err := access.policies(ctx, s.cfg, s.queryPath.pool, facts)
	if err != nil {
		return nil, err
	}
	if len(refused) > 0 {
		return nil, &wal.SetupError{Findings: refused}
	}
	room, err := wal.ConnectionFinding(ctx, s.database.Pool, s.cfg.DatabasePool)
	if err != nil {
		return nil, err
	}
	s.warn(slices.Concat(facts.Findings(want), tables.findings, unguarded, []wal.Finding{room}))
	p = &parts{access: access, channels: tables.channels, wanted: want}
	unknown := wal.UnknownPressure()
	p.pressure.Store(&unknown)
	p.hub, err = fanout.NewHub(fanout.Options{
		Channels: tables.allChannels(), QueueBytes: s.cfg.QueueBytes, Log: s.log.Named("fanout"), Resume: fanout.ResumeOptions(s.cfg.Resume), Nudge: s.database.Nudge,
		Snapshots: snapshots{&wal.Snapshotter{
			Pool: s.snapshotPool, QueryPool: s.queryPool, Publication: s.cfg.Publication, Version: facts.Version, Types: tables.types, MaxBytes: s.snapshotBytes(),
		}, tables.matches, tables.unpublished()}, SnapshotReaders: s.cfg.DatabasePool,
		Visible: (&wal.Snapshotter{Pool: s.queryPath.pool}).Visibility,
	})
	if err != nil {
		return nil, err
	}
	p.ingest, err = newIngest(ctx, s.cfg, tables, facts, s.database.Pool, ingest.Options{
		Sink: p.hub, ParseNotification: s.functions.parser(), Log: s.log.Named("ingest"),
		// Whoever sends an event while clients are sent away had better send it to the next gateway.
		Live: func() bool { return !s.draining.Load() && p.source.Stats().State == wal.Live },
	})
	if err != nil {
		return nil, err
	}
	if token != "" {
		p.hook = p.ingest.Handler(token)
	}
	p.listener = newListener(s.cfg, tables, p.ingest, p.hub, s.log.Named("ingest"))
	s.database.Report = newAvailability(p.hub, tables).report
	if err := setUp(ctx, s.database, facts, want, s.log, s.migrationsWait); err != nil {
		return nil, err
	}
	s.waitsFor.Store(nil)
	p.exposed = exposed(s.cfg, s.functions, tables, s.database.Tables())
	tracker := &cdc.Tracker{}
	checkpoints := &wal.Checkpoints{Pool: s.database.Pool, Slot: s.cfg.Slot}
	p.source = wal.NewSource(s.database, s.cfg.DatabaseURL.Reveal(), want, tracker, checkpoints, tables.types)
	p.source.Events, p.source.Spill, p.source.MaxRow = p.ingest, spill, s.cfg.MaxRowBytes
	p.pipeline = &cdc.Pipeline{
		Source: p.source, Sink: p.hub, Tracker: tracker, Checkpoints: checkpoints, CheckpointEvery: checkpointEvery,
		HandoffBytes:      handoffBytes,
		OnCheckpointError: func(err error) { s.log.Warn("checkpoint", zap.Error(err)) },
	}
	p.gateway = gateway.New(gateway.Options{
		Hub: p.hub, Log: s.log.Named("gateway"), Authenticate: p.access.authenticator, Authorize: p.access.authorizers,
		AllowedOrigins: s.cfg.AllowedOrigins, Hosts: s.publicHosts(), Refusals: s.refusals,
		MaxConnections: s.descriptors.clients, MaxSubscriptions: s.cfg.MaxSubscriptions, MaxMessages: s.cfg.MaxMessagesPerSecond,
		PingInterval: s.cfg.PingInterval, PingTimeout: pingTimeout, WriteTimeout: s.cfg.WriteTimeout, Compression: s.cfg.Compression,
		// While a stream is interrupted clients may come and wait: it will bring what was missed. But before it was ever
		// live it brings what is older than they are, and while another gateway has the slot it brings nothing.
		Serving: func() bool {
			source := p.source.Stats()
			return source.WasLive && source.State != wal.Standby
		},
	})
	var names []string
	for _, ch := range tables.allChannels() {
		names = append(names, ch.Name)
		s.log.Debug("channel", zap.String("name", ch.Name), zap.String("table", ch.Schema+"."+ch.Table), zap.Strings("scopes", scopeNames(ch)))
	}
	s.log.Info("channels", zap.Int("count", len(names)), zap.String("names", wal.Some(names)))
	return p, nil
}

// warn logs what is not as it should be, in a line for all tables of which the same is to be said.
func (s *Service) warn(findings []wal.Finding) {
	findings = slices.DeleteFunc(findings, func(f wal.Finding) bool { return f.Level != wal.Warn || f.LeftOut }) // those are logged when they are
	for _, g := range wal.Groups(findings, 1) {
		f := g.Findings[0]
		fields := []zap.Field{zap.String("detail", f.Detail)}
		if more := g.Summary(); more != "" {
			fields = append(fields, zap.String("more", more))
		}
		s.log.Warn("setup: "+f.Check, fields...)
	}
}

func scopeNames(ch fanout.Channel) []string {
	var names []string
	for _, scope := range ch.Scopes {
		names = append(names, scope.Column)
	}
	return names
}

// ServeHTTP implements http.Handler for WebSocket clients. It sends them away, rather than let them wait, until there is a
// gateway.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := s.running.Load(); p != nil {
		p.gateway.ServeHTTP(w, r)
		return
	}
	gateway.Unavailable(w, "the gateway is starting")
}

// Admin is the handler for operators, which belongs on no listener that clients reach.
func (s *Service) Admin() http.Handler {
	return gateway.Admin{
		Ready: s.Ready, Status: s.status, Profiling: s.cfg.Pprof, Metrics: metrics.Handler(s.figures()), Hosts: s.adminHosts(), Refusals: s.refusals,
	}.Handler()
}

// publicHosts are those that clients may call the gateway while they are anonymous. A page of a listed origin may connect, and so
// its host is nobody else's either.
func (s *Service) publicHosts() gateway.Hosts {
	hosts := gateway.Hosts{Names: slices.Clone(s.cfg.AllowedHosts), Addresses: s.embedded || !config.Loopback(s.cfg.Listen)}
	for _, origin := range s.cfg.AllowedOrigins {
		if u, err := url.Parse(origin); err == nil {
			hosts.Names = append(hosts.Names, u.Hostname())
		}
	}
	return hosts
}

func (s *Service) adminHosts() gateway.Hosts {
	return gateway.Hosts{Names: s.cfg.AllowedHosts, Addresses: s.embedded || !config.Loopback(s.cfg.Admin)}
}

// anonymous tells whether nobody asks clients who they are.
func (s *Service) anonymous() bool {
	return s.cfg.Authenticate == nil && s.functions.Authenticate == nil
}

// Ready is true only while the stream is live and past the place where the server was when it connected, and while the gateway
// can tell who clients are.
func (s *Service) Ready() (bool, string) {
	p := s.running.Load()
	if s.draining.Load() {
		return false, "draining"
	}
	if p == nil {
		return false, "starting"
	}
	state := p.source.Stats().State
	if keys := p.access.keysState(); state == wal.Live && keys != nil && !keys.Loaded {
		return false, noKeys
	}
	return state == wal.Live, state.String()
}

// figures are those of nothing until the gateway serves.
func (s *Service) figures() metrics.Sources {
	return metrics.Sources{
		Version:  Version(),
		Source:   whenRunning(s, func(p *parts) wal.Stats { return p.source.Stats() }, wal.Stats{}),
		Hub:      whenRunning(s, func(p *parts) fanout.Stats { return p.hub.Stats() }, fanout.Stats{}),
		Gateway:  whenRunning(s, func(p *parts) gateway.Stats { return p.gateway.Stats() }, gateway.Stats{}),
		Ingest:   whenRunning(s, func(p *parts) ingest.Stats { return p.ingest.Stats() }, ingest.Stats{}),
		Refusals: s.refusals.Totals,
		Pressure: whenRunning(s, func(p *parts) wal.Pressure { return *p.pressure.Load() }, wal.UnknownPressure()),
		Tables:   whenRunning(s, func(*parts) []wal.TableState { return s.database.Tables() }, nil),
	}
}

func whenRunning[T any](s *Service, read func(*parts) T, otherwise T) func() T {
	return func() T {
		if p := s.running.Load(); p != nil {
			return read(p)
		}
		return otherwise
	}
}
