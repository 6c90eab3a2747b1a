package cdc

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// Pipeline moves deliveries from a source to a sink and keeps the checkpoint.
type Pipeline struct {
	Source  Source
	Sink    Sink
	Tracker *Tracker
	// Checkpoints may be nil: then a restarted gateway relies on the slot's own position alone.
	Checkpoints CheckpointStore
	// CheckpointEvery is the least time between two checkpoints. It is positive where Checkpoints is set.
	CheckpointEvery time.Duration
	// HandoffBytes bounds what may wait between source and sink.
	HandoffBytes int
	// OnCheckpointError is told about every checkpoint that could not be saved; the pipeline goes on. It is set where
	// Checkpoints is.
	OnCheckpointError func(error)
}

// lastCheckpoint is how long the checkpoint that is written on the way out may take.
const lastCheckpoint = 2 * time.Second

// Run works until ctx ends, and then until what the source handed on is delivered, or until the source fails. It
// returns the source's error.
func (p *Pipeline) Run(ctx context.Context) error {
	handoff := NewHandoff(p.HandoffBytes)
	handoff.direct = p.direct
	p.Tracker.Hold(p.Sink.Needed)
	saverCtx, stopSaver := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSaver()
	var g errgroup.Group
	g.Go(func() error {
		defer handoff.Close()
		return p.Source.Run(ctx, handoff)
	})
	g.Go(func() error {
		defer stopSaver()
		p.deliver(handoff)
		return nil
	})
	if p.Checkpoints != nil {
		g.Go(func() error {
			p.keepCheckpoint(saverCtx)
			return nil
		})
	}
	return g.Wait()
}

// direct delivers from the source's goroutine what the sink can take at once.
func (p *Pipeline) direct(d Delivery) bool {
	if !p.Sink.Try(d) {
		return false
	}
	if d.Transaction != nil {
		p.Tracker.Delivered(d.Transaction)
	}
	return true
}

func (p *Pipeline) deliver(handoff *Handoff) {
	var batch []Delivery
	for {
		var ok bool
		if batch, ok = handoff.Take(batch); !ok {
			return
		}
		for _, d := range batch {
			switch {
			case d.Transaction != nil:
				p.Sink.Deliver(d.Transaction)
				p.Tracker.Delivered(d.Transaction)
			case d.Start != nil:
				p.Sink.Start(*d.Start)
			case d.Reset != "":
				p.Sink.Reset(d.Reset)
			default:
				p.Sink.Passed(d.Passed)
			}
		}
	}
}

// keepCheckpoint saves the checkpoint when it is due, at most once per interval, and once more at the end.
func (p *Pipeline) keepCheckpoint(ctx context.Context) {
	ticker := time.NewTicker(p.CheckpointEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.saveCheckpoint(ctx)
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCheckpoint)
			defer cancel()
			p.saveCheckpoint(ctx)
			return
		}
	}
}

func (p *Pipeline) saveCheckpoint(ctx context.Context) {
	at, due := p.Tracker.Due()
	if !due {
		return
	}
	switch err := p.Checkpoints.Save(ctx, at); {
	case err == nil:
		p.Tracker.Saved(at)
	case !errors.Is(ctx.Err(), context.Canceled): // otherwise it was cut short for the last one, which follows
		p.Tracker.Unsaved(at)
		p.OnCheckpointError(err)
	}
}
