package values_test

import (
	"testing"
)

// The settings win over what an administrator made the default of the database, and are those that the encoder reads.
func TestSettingsWinOverTheDatabase(t *testing.T) {
	conn := connect(t, `do $$ begin
		execute format('alter database %I set DateStyle = German', current_database());
		execute format('alter database %I set TimeZone = ''Asia/Kolkata''', current_database());
		execute format('alter database %I set IntervalStyle = iso_8601', current_database());
		execute format('alter database %I set bytea_output = escape', current_database());
		execute format('alter database %I set extra_float_digits = -10', current_database());
		execute format('alter database %I set client_encoding = LATIN1', current_database());
	end $$`)
	names := []string{"timestamptz", "timestamp", "date", "interval", "bytea", "float8", "text"}
	row := textRow(t.Context(), t, conn, `select '2024-02-29 12:00+00'::timestamptz, '2024-02-29 12:00'::timestamp, '2024-02-29'::date,
		'1 mon -1 day'::interval, 'a'::bytea, 0.30000000000000004::float8, U&'\4F1A\8A71'`)
	want := []string{`"2024-02-29T12:00:00+00:00"`, `"2024-02-29T12:00:00"`, `"2024-02-29"`, `"1 mon -1 days"`, `"\\x61"`,
		`0.30000000000000004`, `"会話"`}
	for i, encode := range loadEncoders(t, conn, names) {
		if got := string(encode(nil, row[i])); got != want[i] {
			t.Errorf("%s: got %s, want %s", names[i], got, want[i])
		}
	}
}
