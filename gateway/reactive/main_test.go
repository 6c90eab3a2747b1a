package reactive_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
