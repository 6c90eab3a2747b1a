package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/wal"
)

// layoutEvery is how long views may be untrue for a change that the stream does not tell of.
const layoutEvery = 3 * time.Second

// watchLayouts has the views of a table begin anew when its layout has changed. It returns when ctx has ended. A server that
// does not answer is asked again: before and after may then lie further apart, and the difference is seen all the same.
func (s *Service) watchLayouts(ctx context.Context, hub *fanout.Hub, channels []fanout.Channel) {
	byTable := map[wal.TableName][]string{}
	var tables []wal.TableName
	for _, ch := range channels {
		t := wal.TableName{Schema: ch.Schema, Name: ch.Table}
		if byTable[t] == nil {
			tables = append(tables, t)
		}
		byTable[t] = append(byTable[t], ch.Name)
	}
	ticker := time.NewTicker(layoutEvery)
	defer ticker.Stop()
	var before map[wal.TableName]wal.Layout
	for {
		now, err := s.database.Layouts(ctx, tables)
		if err == nil {
			for t, layout := range before {
				if why := layout.Differs(now[t]); why != "" {
					s.log.Warn("the stream does not tell of this: the table's views begin anew", zap.Stringer("table", t), zap.String("because", why))
					hub.Gap(byTable[t]...)
				}
			}
			before = now
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
