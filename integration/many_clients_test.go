package integration_test

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"
)

// They come while rows are written, edited, moved between their conversations and deleted.
func TestTwoHundredClientsAllSeeWhatSelectReturns(t *testing.T) {
	onAnyServer(t)
	const clients, talks = 200, 20
	database := newDatabase(t)
	l := startLoad(t, database, talks)
	g := serve(t, database, snapshots)
	l.awaitRows(200)
	views := make([]*view, clients)
	var reading errgroup.Group
	for n := range clients {
		c := connect(t, g)
		views[n] = c.ask("message", "conversation_id", fmt.Sprint(1+n%talks))
		reading.Go(func() error {
			if err := c.read(lastHasCome(views[n])); err != nil {
				return fmt.Errorf("client %d: %w", n, err)
			}
			return nil
		})
	}
	l.stop()
	if err := reading.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		if v.snapshots != 1 {
			t.Errorf("%d snapshots, want 1", v.snapshots)
		}
		v.equals(t, database, messagesOf(v.value))
	}
}
