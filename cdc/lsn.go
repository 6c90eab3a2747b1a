package cdc

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log, in bytes since its beginning (PostgreSQL manual, "pg_lsn Type").
type LSN uint64

// ParseLSN reads the form that PostgreSQL prints, two hexadecimal numbers of up to 32 bits: "16/B374D848".
func ParseLSN(s string) (LSN, error) {
	high, low, ok := strings.Cut(s, "/")
	if !ok || len(s) > len("FFFFFFFF/FFFFFFFF") {
		return 0, fmt.Errorf("parse LSN %q: want two hexadecimal numbers with a slash between them", s)
	}
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", s, err)
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", s, err)
	}
	return LSN(h<<32 | l), nil
}

// String gives the form that PostgreSQL prints and accepts.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }
