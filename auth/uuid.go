package auth

import "strings"

// canonicalUUID is how PostgreSQL writes a UUID that has its hyphens, in small letters. It returns false for what is none, and for
// other ways to write one.
func canonicalUUID(text string) (string, bool) {
	if len(text) != 36 {
		return "", false
	}
	for i := range len(text) {
		c := text[i]
		hex := isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if hyphen := i == 8 || i == 13 || i == 18 || i == 23; hyphen && c != '-' || !hyphen && !hex {
			return "", false
		}
	}
	return strings.ToLower(text), true
}
