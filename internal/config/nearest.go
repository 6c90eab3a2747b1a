package config

import (
	"strings"

	"github.com/xrash/smetrics"
)

// Nearest finds the name that was probably meant: written in another case, with dashes, cut short, or with about one
// letter in three wrong. It is for the Fix of a Problem, and returns false when no name is near.
func Nearest(word string, names []string) (string, bool) {
	letters := strings.NewReplacer("-", "", "_", "")
	reduce := func(s string) string { return strings.ToLower(letters.Replace(s)) }
	word = reduce(word)
	best, found := max(1, len(word)/3)+1, ""
	for _, name := range names {
		reduced := reduce(name)
		distance := smetrics.WagnerFischer(word, reduced, 1, 1, 1)
		if len(word) > 2 && (strings.HasPrefix(reduced, word) || strings.HasPrefix(word, reduced)) {
			distance = min(distance, 1)
		}
		if distance < best {
			best, found = distance, name
		}
	}
	return found, found != ""
}
