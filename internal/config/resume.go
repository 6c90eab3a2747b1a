package config

import (
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Resume bounds what is kept for clients that come back.
type Resume struct {
	// Window is for how long a client may have been away and still miss nothing; 0 keeps nothing.
	Window time.Duration
	// MaxBytes bounds the memory for it, and how much log the server holds back, in bytes.
	MaxBytes int
}

func defaultResume() Resume { return Resume{Window: 2 * time.Minute, MaxBytes: 256 << 20} }

// resume reads the section of that name.
func (d *document) resume(path string, node ast.Node) Resume {
	r := defaultResume()
	d.mapping(path, node, []key{
		{"window", one(d, kindQuantity, orZero(duration), &r.Window)},
		{"maxBytes", one(d, kindQuantity, size, &r.MaxBytes)},
	})
	return r
}

// orZero accepts 0 too, for what it switches off.
func orZero(parse func(string) (time.Duration, *mistake)) func(string) (time.Duration, *mistake) {
	return func(text string) (time.Duration, *mistake) {
		if text == "0" || text == "0s" {
			return 0, nil
		}
		return parse(text)
	}
}
