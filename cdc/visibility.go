package cdc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Visibility tells which transactions a snapshot of the database shows (PostgreSQL manual, "Transaction ID and Snapshot
// Information Functions"). Identifiers are 64 bits wide here and 32 in the stream.
//
// A position in the log cannot stand in for it: a commit is in the log, and may have been streamed, before a snapshot
// shows it.
type Visibility struct {
	// Min and all below it had ended. Max and all above it had not begun.
	Min, Max uint64
	// Running had not ended, of those between. In ascending order.
	Running []uint64
}

// ParseVisibility reads the text form of pg_snapshot, xmin:xmax:xip_list.
func ParseVisibility(s string) (Visibility, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return Visibility{}, fmt.Errorf("parse snapshot %q: want xmin:xmax:xip_list", s)
	}
	var v Visibility
	var err error
	if v.Min, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return Visibility{}, fmt.Errorf("parse snapshot %q: %w", s, err)
	}
	if v.Max, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return Visibility{}, fmt.Errorf("parse snapshot %q: %w", s, err)
	}
	if parts[2] == "" {
		return v, nil
	}
	for _, text := range strings.Split(parts[2], ",") {
		xid, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return Visibility{}, fmt.Errorf("parse snapshot %q: %w", s, err)
		}
		v.Running = append(v.Running, xid)
	}
	slices.Sort(v.Running)
	return v, nil
}

// Shows tells whether the snapshot shows a committed transaction, given the low 32 bits of its identifier. That is
// exact as long as the identifier is less than 2^31 away from the snapshot, which PostgreSQL itself relies on.
func (v *Visibility) Shows(xid uint32) bool {
	full := v.lift(xid)
	if full < v.Min {
		return true
	}
	if full >= v.Max {
		return false
	}
	_, running := slices.BinarySearch(v.Running, full)
	return !running
}

// lift widens an identifier to the one that is nearest to the snapshot.
func (v *Visibility) lift(xid uint32) uint64 {
	distance := int64(int32(xid - uint32(v.Max)))
	if distance < 0 && uint64(-distance) > v.Max {
		return uint64(xid) // before the first wraparound there is nothing below 0
	}
	return v.Max + uint64(distance)
}
