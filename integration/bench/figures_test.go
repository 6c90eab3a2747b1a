package main

import (
	"bytes"
	"compress/flate"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

func TestMedianAndQuantile(t *testing.T) {
	if got := median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("the median of 5, 1, 3 is %v", got)
	}
	if got := median([]time.Duration{4, 1, 2, 3}); got != 2 {
		t.Errorf("the median of 4, 1, 2, 3 is %v", got)
	}
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	if got := quantile(hundred, 0.99); got != 100 {
		t.Errorf("the p99 of 1 to 100 is %v", got)
	}
}

func TestWhatWasNotMeasuredDoesNotPass(t *testing.T) {
	zero := 0.0
	for _, value := range []float64{zero, zero / zero, 1 / zero} {
		if atMost(value, 1) != nil || atLeast(value, 1) != nil || times(value) != "" {
			t.Errorf("%v is judged", value)
		}
	}
	if !*atMost(1, 1) || *atMost(1.01, 1) || !*atLeast(1, 1) || *atLeast(0.99, 1) {
		t.Error("a limit is not kept")
	}
}

func TestCollectorTime(t *testing.T) {
	const log = `{"level":"info","msg":"serving"}
gc 1 @0.018s 2%: 0.10+1.2+0.20 ms clock, 0.20+0.3/1.1/9.9+0.40 ms cpu, 3->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 2 @0.100s 2%: 0.10+1.2+0.20 ms clock, 1+2/3/4+5 ms cpu, 3->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
`
	if got := collectorTime(log); got != 13*time.Millisecond {
		t.Errorf("%v, want 13 ms", got)
	}
}

func TestMostAllocations(t *testing.T) {
	const output = `goos: linux
BenchmarkEncode/int4-2     20000    6.938 ns/op	1008.94 MB/s	    0 B/op	       0 allocs/op
BenchmarkEncode/text-2     20000    79.30 ns/op	 504.44 MB/s	   16 B/op	       2 allocs/op
`
	if most, where, ok := mostAllocations(output); !ok || most != 2 || where != "Encode/text" {
		t.Errorf("%d in %s, %v", most, where, ok)
	}
	if _, _, ok := mostAllocations("testing: warning: no tests to run\n"); ok {
		t.Error("a benchmark that is not there was read")
	}
}

func TestOrderCheck(t *testing.T) {
	message := func(id string) []byte {
		return []byte(`{"type":"change","event":{"primaryKey":{"id":` + id + `},"row":{}}}`)
	}
	o := newOrderCheck(10)
	if o.verdict() == nil {
		t.Error("nothing was seen, and that is good")
	}
	for _, id := range []string{"7", "17", "27"} {
		o.look(250, load.Change, message(id))
	}
	if err := o.verdict(); err != nil {
		t.Error(err)
	}
	o.look(250, load.Change, message("47"))
	if err := o.verdict(); err == nil || !strings.Contains(err.Error(), "row 47 behind row 27") {
		t.Errorf("a gap is %v", err)
	}
}

func TestInflate(t *testing.T) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("Are you there? ", 50)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := inflate(bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff}))
	if err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRecordKeepsWhatIsWrittenByHand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := os.WriteFile(file, []byte("# Title\n\nBefore.\n\n"+generatedFrom+"\nold\n"+generatedUntil+"\n\nAfter.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := (machine{commit: "abc"}).record(file, []result{{number: "4", what: "fan-out"}}, "medians of 5"); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if !strings.HasPrefix(got, "# Title\n\nBefore.\n\n"+generatedFrom) || !strings.HasSuffix(got, generatedUntil+"\n\nAfter.\n") ||
		strings.Contains(got, "old") || strings.Count(got, "fan-out") != 1 {
		t.Errorf("it is now:\n%s", got)
	}
}
