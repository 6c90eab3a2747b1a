package config

import "testing"

func TestNearest(t *testing.T) {
	columns := []string{"id", "conversation_id", "author_id", "created_at"}
	for word, want := range map[string]string{
		"conversationId": "conversation_id",
		"CREATED-AT":     "created_at",
		"auxhor_id":      "author_id",
		"conversation":   "conversation_id",
		"created_at_utc": "created_at",
		"ID":             "id",
		"it":             "id",
		"body":           "",
		"":               "",
		"日本":             "",
	} {
		if got, ok := Nearest(word, columns); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %t, want %q", word, got, ok, want)
		}
	}
	if got, ok := Nearest("id", nil); ok {
		t.Errorf("nothing to choose from: got %q", got)
	}
}
