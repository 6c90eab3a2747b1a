package cdc_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/cdc"
)

func TestParseVisibility(t *testing.T) {
	v, err := cdc.ParseVisibility("10:20:12,15")
	if err != nil {
		t.Fatal(err)
	}
	for xid, shown := range map[uint32]bool{9: true, 10: true, 12: false, 13: true, 15: false, 19: true, 20: false, 21: false} {
		if v.Shows(xid) != shown {
			t.Errorf("Shows(%d) = %v", xid, !shown)
		}
	}
	for _, bad := range []string{"", "1", "1:2", "1:2:3:4", "a:2:", "1:b:", "1:2:x", "1:2:,", "-1:2:"} {
		if _, err := cdc.ParseVisibility(bad); err == nil || !strings.Contains(err.Error(), "parse snapshot") {
			t.Errorf("ParseVisibility(%q) gives %v", bad, err)
		}
	}
}

// The stream's identifiers are the low 32 bits of the snapshot's: around a wraparound the nearest is meant.
func TestP23VisibilityAcrossWraparound(t *testing.T) {
	const epoch = uint64(3) << 32
	v := cdc.Visibility{Min: epoch - 2, Max: epoch + 2, Running: []uint64{epoch - 1, epoch}}
	for xid, shown := range map[uint32]bool{
		0xFFFFFFFD: true, 0xFFFFFFFE: true, 0xFFFFFFFF: false, 0: false, 1: true, 2: false, 1000: false,
	} {
		if v.Shows(xid) != shown {
			t.Errorf("Shows(%d) = %v", xid, !shown)
		}
	}
}

func TestVisibilityAgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Uint64Range(3, 1<<40).Draw(t, "min")
		v := cdc.Visibility{Min: low, Max: low + rapid.Uint64Range(0, 50).Draw(t, "width")}
		running := map[uint64]bool{}
		for xid := v.Min; xid < v.Max; xid++ {
			if rapid.Bool().Draw(t, "running") {
				running[xid] = true
				v.Running = append(v.Running, xid)
			}
		}
		xid := v.Min + uint64(rapid.IntRange(-2, 60).Draw(t, "offset"))
		want := xid < v.Min || xid < v.Max && !running[xid]
		if v.Shows(uint32(xid)) != want {
			t.Fatalf("%+v shows %d: %v", v, xid, !want)
		}
	})
}
