package protocol_test

import (
	"fmt"
	"testing"

	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestAppendString(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", `""`},
		{"plain", "Lunch at one?", `"Lunch at one?"`},
		{"quote and backslash", `say "C:\"`, `"say \"C:\\\""`},
		{"short escapes", "\b\f\n\r\t", `"\b\f\n\r\t"`},
		{"what needs no escape", "/<>&'\u007f\u2028\u2029", "\"/<>&'\u007f\u2028\u2029\""},
		{"beyond ASCII", "Zoë, 東京, 😀", `"Zoë, 東京, 😀"`},
		{"U+FFFD itself", "\ufffd", "\"\ufffd\""},
		{"invalid bytes, each for itself", "a\xff\xfeb\xc3", "\"a\ufffd\ufffdb\ufffd\""},
		{"rune cut short", "\xf0\x9f\x98", "\"\ufffd\ufffd\ufffd\""},
		{"surrogate in UTF-8", "\xed\xa0\x80", "\"\ufffd\ufffd\ufffd\""},
		{"overlong slash", "\xc0\xaf", "\"\ufffd\ufffd\""},
		{"escape after an invalid byte", "\xff\n", "\"\ufffd\\n\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(protocol.AppendString([]byte("body: "), tc.text)); got != "body: "+tc.want {
				t.Errorf("of string: %s, want %s", got, tc.want)
			}
			if got := string(protocol.AppendString(nil, []byte(tc.text))); got != tc.want {
				t.Errorf("of bytes: %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAppendStringEscapesEveryControlCharacter(t *testing.T) {
	short := map[rune]string{'\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	for c := rune(0); c < ' '; c++ {
		want := short[c]
		if want == "" {
			want = fmt.Sprintf(`\u%04x`, c)
		}
		if got := string(protocol.AppendString(nil, string(c))); got != `"`+want+`"` {
			t.Errorf("U+%04X is written as %s, want %s", c, got, want)
		}
	}
}
