package main

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// notMeasured stands where there is no figure.
const notMeasured = "n/a"

// result is a line of the table.
type result struct {
	number, what string
	goal         string // empty for a peer
	figure       string
	ratio        string
	passed       *bool // nil where nothing is to be passed, or nothing was measured
	note         string
}

func (r result) verdict() string {
	switch {
	case r.passed == nil && r.goal == "":
		return ""
	case r.passed == nil:
		return notMeasured
	case *r.passed:
		return "pass"
	}
	return "NOT"
}

func (r result) cells() []string {
	return []string{r.number, r.what, r.goal, r.figure, r.ratio, r.verdict(), r.note}
}

func (r result) String() string { return strings.Join(r.cells(), " | ") }

// atMost and atLeast judge a value.
func atMost(value, limit float64) *bool {
	ok := value <= limit
	return judged(value, ok)
}

func atLeast(value, limit float64) *bool {
	ok := value >= limit
	return judged(value, ok)
}

// judged keeps what was not measured from passing.
func judged(value float64, ok bool) *bool {
	if value == 0 || math.IsNaN(value) || math.IsInf(value, 0) {
		return nil
	}
	return &ok
}

// times writes a ratio.
func times(ratio float64) string {
	if judged(ratio, true) == nil {
		return ""
	}
	return fmt.Sprintf("%.2f x", ratio)
}

// thousands writes a large number.
func thousands(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// table renders results as Markdown that is also legible on a terminal.
func table(results []result) string {
	rows := [][]string{{"target", "what", "goal", "figure", "ratio", "", "note"}, nil}
	for _, r := range results {
		rows = append(rows, r.cells())
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	rows[1] = make([]string, len(widths))
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			fill := " "
			if n == 1 {
				fill = "-"
			}
			b.WriteString("| " + cell + strings.Repeat(fill, widths[i]-utf8.RuneCountInString(cell)) + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// firstLine is what of an error fits into the table.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if most := 120; len(line) > most {
		line = line[:most] + "..."
	}
	return strings.ReplaceAll(line, "|", "/")
}
