//go:build !linux

package wal_test

import (
	"errors"
	"testing"
)

func mountSmall(*testing.T, string) error { return errors.New("not on this system") }
