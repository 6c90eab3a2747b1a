package pgtest

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// sessions keeps the connections to some databases for who asks next: a server takes longer to begin a session than to run
// most statements. It is safe for concurrent use. The zero value keeps none.
type sessions struct {
	mu   sync.Mutex
	idle map[string][]*pgx.Conn // by URL; a key is a database whose connections are kept
}

// keep begins to keep the connections to url.
func (s *sessions) keep(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == nil {
		s.idle = map[string][]*pgx.Conn{}
	}
	s.idle[url] = nil
}

// end closes what is kept of url.
func (s *sessions) end(ctx context.Context, url string) {
	s.mu.Lock()
	kept := s.idle[url]
	delete(s.idle, url)
	s.mu.Unlock()
	closeAll(ctx, kept)
}

// endIdle closes all that is kept.
func (s *sessions) endIdle(ctx context.Context) {
	s.mu.Lock()
	var kept []*pgx.Conn
	for url, idle := range s.idle {
		kept = append(kept, idle...)
		s.idle[url] = nil
	}
	s.mu.Unlock()
	closeAll(ctx, kept)
}

func closeAll(ctx context.Context, kept []*pgx.Conn) {
	for _, conn := range kept {
		_ = conn.Close(ctx) // it has nothing to lose
	}
}

// take returns a connection that is kept and alive, else nil.
func (s *sessions) take(ctx context.Context, url string) *pgx.Conn {
	for {
		conn := s.pop(url)
		if conn == nil || conn.Ping(ctx) == nil {
			return conn
		}
		_ = conn.Close(ctx) // the server has ended it
	}
}

func (s *sessions) pop(url string) *pgx.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.idle[url]
	if len(kept) == 0 {
		return nil
	}
	s.idle[url] = kept[:len(kept)-1]
	return kept[len(kept)-1]
}

// give keeps a connection as good as new, or returns false.
func (s *sessions) give(ctx context.Context, url string, conn *pgx.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if conn.PgConn().TxStatus() != 'I' {
		return false
	}
	if _, err := conn.PgConn().Exec(ctx, "discard all").ReadAll(); err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.idle[url]; !ok {
		return false
	}
	s.idle[url] = append(s.idle[url], conn)
	return true
}
