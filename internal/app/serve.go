package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 30 * time.Second // for the body of a plain request, and for its answer
	idleTimeout    = time.Minute      // between two plain requests on a connection
	maxHeaderBytes = 32 << 10
	lastRequests   = time.Second // what plain HTTP requests get to finish at the end
)

// server is a Service on listeners of its own.
type server struct {
	*Service
	// handler answers on the public listener for every path but the WebSocket's; nil is 404.
	handler http.Handler
	// onListening, if not nil, is called when clients can connect.
	onListening func()

	public, admin net.Listener // admin may be nil
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
		g.Go(func() error { return s.serveHTTP(late, s.admin, s.Admin()) })
	}
	g.Go(func() error { return s.serveHTTP(late, s.public, s.publicHandler()) })
	g.Go(func() error {
		defer stopLate()
		return s.Run(ctx, late, s.serving)
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
	s.public = limitListener(s.public, s.descriptors.connections)
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

// serving says where.
func (s *server) serving() {
	s.log.Info("serving", zap.String("clients", "ws://"+hostPort(s.public.Addr())+s.cfg.Path), zap.String("operators", s.adminURL()))
	if s.onListening != nil {
		s.onListening()
	}
}

func (s *server) adminURL() string {
	if s.admin == nil {
		return "none"
	}
	return "http://" + hostPort(s.admin.Addr())
}

func (s *server) publicHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(s.cfg.Path, s.Service)
	if s.cfg.Ingest != nil && s.cfg.Ingest.Hook != nil {
		mux.HandleFunc(s.cfg.Ingest.Hook.Path, s.ingestHandler)
	}
	if s.handler != nil && s.anonymous() {
		mux.Handle("/", s.publicHosts().Check(s.refusals, s.handler))
	} else if s.handler != nil {
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
