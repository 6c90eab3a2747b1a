package ingest_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A flood of notifications that make views resync costs clients one resync at once and one for every two seconds that it lasts.
// What is told completely passes as it comes.
func TestS4AFloodOfNotificationsThatSayTooLittleIsCoalesced(t *testing.T) {
	for name, flood := range map[string]string{
		"incomplete":                         `{"type":"afterInsert","schemaName":"public","tableName":"room","incomplete":true}`,
		"a scope's old value is not told":    `{"type":"afterUpdate","schemaName":"public","tableName":"room","primaryKey":{"id":1},"row":{"private":"f"},"changed":{"room_id":8}}`,
		"a deletion without scope":           `{"type":"afterDelete","schemaName":"public","tableName":"room","primaryKey":{"id":1}}`,
		"an insert that a filter cannot see": `{"type":"afterInsert","schemaName":"public","tableName":"room","primaryKey":{"id":1},"row":{"room_id":7}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { f.Run(ctx) })
				defer running.Wait()
				defer stop()
				const complete = `{"type":"afterInsert","schemaName":"public","tableName":"room","primaryKey":{"id":2},"row":{"id":2,"room_id":7,"private":"f"}}`
				told := func() (resyncs, inserts int) {
					f.mu.Lock()
					defer f.mu.Unlock()
					for _, lines := range f.transactions {
						if slices.Contains(lines, `insert room none -> [id*:2 room_id:7 private:"f"]`) {
							inserts++
						} else {
							resyncs++
						}
					}
					return resyncs, inserts
				}
				for range 1000 {
					f.Notified([]byte(flood))
					f.Notified([]byte(`[` + flood + `,` + complete + `]`))
				}
				synctest.Wait()
				if resyncs, inserts := told(); resyncs != 1 || inserts != 1000 {
					t.Errorf("at once %d resyncs and %d inserts, want 1 and 1000", resyncs, inserts)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if resyncs, _ := told(); resyncs != 2 {
					t.Errorf("after two seconds %d resyncs, want 2: what was put off is told", resyncs)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if resyncs, _ := told(); resyncs != 2 {
					t.Errorf("after the flood %d resyncs, want 2", resyncs)
				}
			})
		})
	}
}
