package app

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// waiting says what a start waits for, and does not say the same thing every second.
type waiting struct {
	log    *zap.Logger
	last   string
	lastAt time.Time
}

// repeatWaiting is how often the same thing is said again.
const repeatWaiting = time.Minute

func (w *waiting) say(err error, now time.Time) *wal.Verdict {
	v := wal.Judge(err)
	if v.What != w.last || now.Sub(w.lastAt) >= repeatWaiting {
		w.log.Warn(fmt.Sprintf("waiting for the database: %s: trying again in %s", v.What, databaseRetry), zap.String("do", v.Do))
		w.last, w.lastAt = v.What, now
	}
	return &v
}

// explain says what to do about an error that ends a start.
func explain(cfg *config.Config, err error) error {
	err = placeConnecting(cfg, err)
	if _, told := errors.AsType[*config.Error](err); told {
		return err
	}
	return wal.Advise(err)
}

// placeConnecting gives an error of connecting the words of its verdict and, where databaseUrl may be wrong, its place. It
// leaves any other as it is.
func placeConnecting(cfg *config.Config, err error) error {
	switch v := wal.Judge(err); {
	case !v.Connecting:
		return err
	case v.Prospect == wal.Passing:
		return wal.Advise(err)
	default:
		return config.NewError(cfg.Problem("databaseUrl", v.What, v.Do))
	}
}
