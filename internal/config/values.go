package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Each function here understands one text. A mistake's fix has to suit the empty text too.

func trueOrFalse(text string) (bool, *mistake) {
	switch text {
	case "true", "false":
		return text == "true", nil
	}
	return false, &mistake{problem: "is neither true nor false", fix: "write true or false"}
}

// oneOf accepts one of a few words.
func oneOf[T comparable](words ...T) func(string) (T, *mistake) {
	return func(text string) (T, *mistake) {
		names := make([]string, len(words))
		for i, word := range words {
			if names[i] = fmt.Sprint(word); names[i] == text {
				return word, nil
			}
		}
		m := &mistake{
			problem: "is not one of " + strings.Join(names, ", "),
			fix:     "write " + strings.Join(names, " or "),
		}
		if name, ok := Nearest(text, names); ok {
			m.exactFix = "write " + name
		}
		var none T
		return none, m
	}
}

// count is how many of something there may be.
func count(text string) (int, *mistake) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return 0, &mistake{
			problem: fmt.Sprintf("is not a whole number from 1 to %d", math.MaxInt32),
			fix:     "write digits only, for example 10000",
		}
	}
	return int(n), nil
}

// poolSize is a number of connections.
func poolSize(text string) (int, *mistake) {
	n, m := count(text)
	if m != nil || n > 1000 {
		return 0, &mistake{problem: "is not a whole number from 1 to 1000", fix: "write digits only, for example 8"}
	}
	return n, nil
}

// folder is a path, which is not looked at here.
func folder(text string) (string, *mistake) {
	if strings.ContainsRune(text, 0) {
		return "", &mistake{problem: "has a zero byte in it", fix: "write the path of a folder"}
	}
	return text, nil
}

// size is a number of bytes: 65536, 64KiB, 16MiB or 1GiB.
func size(text string) (int, *mistake) {
	const fix = "write bytes, or a size such as 64KiB, 16MiB or 1GiB"
	digits := strings.TrimRight(text, "kKmMgGiIbB ")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit, shift, known := "", 0, true
	switch strings.ToUpper(strings.TrimSpace(text[len(digits):])) {
	case "", "B":
	case "K", "KB", "KIB":
		unit, shift = "KiB", 10
	case "M", "MB", "MIB":
		unit, shift = "MiB", 20
	case "G", "GB", "GIB":
		unit, shift = "GiB", 30
	default:
		known = false
	}
	switch {
	case err != nil || !known:
		return 0, &mistake{problem: "is not a size", fix: fix}
	case digits+unit != text:
		return 0, &mistake{problem: "is not written like a size", fix: fix, exactFix: "write " + digits + unit}
	case n == 0:
		return 0, &mistake{problem: "is less than one byte", fix: fix}
	case n > math.MaxInt>>shift:
		return 0, &mistake{problem: "is more than a machine can hold", fix: fix}
	}
	return int(n) << shift, nil
}

// rowSize is a size that a message of PostgreSQL may have.
func rowSize(text string) (int, *mistake) {
	const least, most = 1 << 20, 1<<30 - 1
	n, m := size(text)
	if m == nil && (n < least || n > most) {
		return 0, &mistake{problem: "is not from 1MiB to 1073741823", fix: "write a size such as 64MiB"}
	}
	return n, m
}

func duration(text string) (time.Duration, *mistake) {
	const fix = "write a duration such as 500ms, 10s or 2m"
	d, err := time.ParseDuration(text)
	if err != nil {
		m := &mistake{problem: "is not a duration", fix: fix}
		if _, err := strconv.ParseUint(text, 10, 32); err == nil {
			m.problem, m.exactFix = "has no unit", "write "+text+"s"
		}
		return 0, m
	}
	if d < time.Millisecond {
		return 0, &mistake{problem: "is shorter than 1ms", fix: fix}
	}
	return d, nil
}

// milliseconds is how long events may wait: 0 is not at all.
func milliseconds(text string) (time.Duration, *mistake) {
	const longest = 60_000
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n > longest {
		return 0, &mistake{problem: fmt.Sprintf("is not a whole number of milliseconds from 0 to %d", longest), fix: "write digits only, for example 50"}
	}
	return time.Duration(n) * time.Millisecond, nil
}

// drainDuration leaves time, of the ten seconds that an orchestrator waits before it kills the process, for what comes
// after the clients: the last acknowledgement and the last checkpoint, also where the database does not answer.
func drainDuration(text string) (time.Duration, *mistake) {
	d, m := duration(text)
	if m == nil && d > 6*time.Second {
		return 0, &mistake{problem: "is longer than 6s, and the process has to be gone within 10s", fix: "write at most 6s"}
	}
	return d, m
}
