package pgtest_test

import (
	"fmt"
	"runtime"
	"testing"
)

// failing notes why the test it stands for was failed.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Fatal(args ...any) {
	f.why = fmt.Sprint(args...)
	runtime.Goexit()
}
