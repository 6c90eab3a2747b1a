package main

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

const (
	compressedReaders = 1000
	compressedRows    = 20_000 // of a run
)

// samples are messages by the id of their row, as a connection without compression and one with it got them.
type samples struct {
	mu              sync.Mutex
	plain, inflated map[int]string
	failed          error
}

// look keeps one message of many.
func (s *samples) look(conn int, kind load.Kind, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, to := payload, s.plain
	if kind == load.Compressed {
		var err error
		if text, err = inflate(payload); err != nil {
			s.failed = fmt.Errorf("inflate a message of connection %d: %w", conn, err)
			return
		}
		to = s.inflated
	}
	if id, ok := idOf(text); ok && id%97 == 0 {
		to[id] = string(text)
	}
}

// inflate undoes the deflation of one message, which stands for itself (RFC 7692, section 7.2.2).
func inflate(payload []byte) ([]byte, error) {
	tail := []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), bytes.NewReader(tail))))
}

// verdict holds what came compressed against what came as it is.
func (s *samples) verdict() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	if len(s.plain) == 0 || len(s.plain) != len(s.inflated) {
		return fmt.Errorf("%d messages came as they are and %d compressed", len(s.plain), len(s.inflated))
	}
	for id, text := range s.plain {
		if s.inflated[id] != text || !json.Valid([]byte(text)) {
			return fmt.Errorf("the message of row %d is %q, and compressed %q", id, text, s.inflated[id])
		}
	}
	return nil
}

// measureCompression has two gateways, one of which compresses, with databases of their own.
func measureCompression(ctx context.Context, b *bench) ([]result, error) {
	line := result{number: "12", what: "compressed delivery, 1,000 subscribers: CPU", goal: "<= 1.3 x uncompressed", figure: notMeasured}
	if help, _ := exec.CommandContext(ctx, b.program, "--help").Output(); !strings.Contains(string(help), "--compression") {
		line.note = "the gateway has no --compression"
		return []result{line}, nil
	}
	var costs [2][]float64
	var readers [2]*compressedCrowd
	for i, compressed := range []bool{false, true} {
		c, err := b.newCompressedCrowd(ctx, compressed)
		if err != nil {
			return nil, err
		}
		defer c.close(ctx)
		readers[i] = c
	}
	rows := b.scaled(compressedRows)
	for run := range b.runs + 1 { // the first one warms up
		for i, c := range readers {
			time.Sleep(time.Second)
			cost, err := c.run(ctx, rows)
			if err != nil {
				return nil, err
			}
			if run > 0 {
				costs[i] = append(costs[i], cost)
			}
		}
		if run > 0 {
			b.note("compression: without %.2f, with %.2f us/delivery", costs[0][run-1], costs[1][run-1])
		}
	}
	if err := readers[1].samples.verdict(); err != nil {
		return nil, err
	}
	plain, compressed := median(costs[0]), median(costs[1])
	line.figure, line.ratio, line.passed = fmt.Sprintf("%.2f us/delivery", compressed), times(compressed/plain), atMost(compressed/plain, 1.3)
	size := func(c *compressedCrowd) float64 { return float64(c.swarm.Bytes()) / float64(c.delivered()) }
	line.note = fmt.Sprintf("uncompressed %.2f us; %.0f bytes instead of %.0f", plain, size(readers[1]), size(readers[0]))
	return []result{line}, nil
}
