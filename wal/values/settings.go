package values

// Settings returns the session settings under which PostgreSQL's text output is what this package reads, as run-time
// parameters for a connection's start: DateStyle, TimeZone, IntervalStyle, bytea_output and extra_float_digits decide
// how values are written, client_encoding makes every text UTF-8 (PostgreSQL manual, section 20.11). Two more must only be
// alike on all connections: money is written by lc_monetary, and regclass and its kin by search_path, which package wal pins. The map is the
// caller's own.
func Settings() map[string]string {
	return map[string]string{
		"DateStyle":          "ISO",
		"TimeZone":           "UTC",
		"IntervalStyle":      "postgres",
		"bytea_output":       "hex",
		"extra_float_digits": "1",
		"client_encoding":    "UTF8",
	}
}
