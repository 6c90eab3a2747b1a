package app

import (
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// What is waited for is said once, when it changes, and every minute.
func TestP74WhatIsWaitedForIsSaidSparingly(t *testing.T) {
	core, logged := observer.New(zap.WarnLevel)
	w := waiting{log: zap.New(core)}
	refused, cut := fmt.Errorf("dial: %w", syscall.ECONNREFUSED), fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	now := time.Unix(0, 0)
	for second := range 130 {
		err := refused
		if second >= 65 {
			err = cut
		}
		if v := w.say(err, now.Add(time.Duration(second)*time.Second)); v.What == "" {
			t.Fatalf("second %d: %+v", second, v)
		}
	}
	var at []string
	for _, line := range logged.All() {
		at = append(at, line.Message)
	}
	const gone, broken = "waiting for the database: the connection to the database broke: connection refused: trying again in 1s",
		"waiting for the database: the connection to the database broke: unexpected EOF: trying again in 1s"
	if want := []string{gone, gone, broken, broken}; !slices.Equal(at, want) {
		t.Errorf("said %q, want %q", at, want)
	}
}
