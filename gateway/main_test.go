package gateway

import (
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine behind: every session's have an owner that waits for them.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
