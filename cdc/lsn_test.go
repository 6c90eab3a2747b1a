package cdc

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLSNReadsWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := LSN(rapid.Uint64().Draw(t, "lsn"))
		if got, err := ParseLSN(want.String()); err != nil || got != want {
			t.Fatalf("%s is read as %s, %v", want, got, err)
		}
	})
	if got := LSN(0x16B374D848).String(); got != "16/B374D848" {
		t.Errorf("printed as %s", got)
	}
}

func TestParseLSNRefuses(t *testing.T) {
	for _, s := range []string{"", "16", "/", "16/", "/1", "16/B374D8480", "g/1", "1/-1", "1/+1", "1/2/3", " 1/2"} {
		if got, err := ParseLSN(s); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%q is read as %s, error %v", s, got, err)
		}
	}
}
