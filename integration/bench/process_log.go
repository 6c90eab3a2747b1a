package main

import (
	"strings"
	"sync"
)

// processLog keeps what a process writes, up to a megabyte of its end. It is safe for concurrent use.
type processLog struct {
	mu   sync.Mutex
	text []byte
}

const keptLog = 1 << 20

func (l *processLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > 2*keptLog {
		l.text = append([]byte(nil), l.text[len(l.text)-keptLog:]...)
	}
	return len(p), nil
}

func (l *processLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// since is what was written behind a mark, of what is kept.
func (l *processLog) since(mark int) string {
	text := l.tail()
	return text[min(mark, len(text)):]
}

func (l *processLog) mark() int { return len(l.tail()) }

// lastLines are a few lines of the end, for an error.
func (l *processLog) lastLines() string {
	lines := strings.Split(strings.TrimSpace(l.tail()), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
