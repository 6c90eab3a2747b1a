package wal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// W30: a pool for which the server has no room is told of before it is missing.
func TestW30AuthorizeRoomForConnections(t *testing.T) {
	url := database(t)
	prefix := strings.TrimSuffix(newServer(t, url).Slot, slotSuffix)
	few, free := prefix+"_few", prefix+"_free"
	pgtest.Exec(t, url, fmt.Sprintf("create role %s login password 'secret' connection limit 12", few), fmt.Sprintf("create role %s login password 'secret'", free))
	t.Cleanup(func() { pgtest.Exec(t, url, fmt.Sprintf("drop role %s", few), fmt.Sprintf("drop role %s", free)) })
	for _, c := range []struct {
		role string
		pool int
		want string // of a warning; empty for none
	}{
		{"", 1, ""},
		{"", 1000, "max_connections"},
		{free, 1, ""},
		{few, 2, ""},
		{few, 3, "CONNECTION LIMIT"},
	} {
		as := url
		if c.role != "" {
			as += "&user=" + c.role + "&password=secret"
		}
		pool, err := wal.OpenPool(t.Context(), as, wal.PoolOptions{MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		f, err := wal.ConnectionFinding(t.Context(), pool, c.pool)
		pool.Close()
		if err != nil || (f.Level == wal.Warn) != (c.want != "") || !strings.Contains(f.Detail, c.want) || (f.Fix != "") != (c.want != "") {
			t.Errorf("%s with %d: %+v, %v", c.role, c.pool, f, err)
		}
	}
}
