package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// maxRemembered bounds the answers that one memo holds.
const maxRemembered = 10_000

// memo remembers the answers to questions for as long as they hold, and asks once where several want to know the same at
// the same time. Errors are not remembered. The zero value is ready; it may be used by many goroutines at once.
type memo[V any] struct {
	asking  singleflight.Group
	mu      sync.Mutex
	answers map[digest]remembered[V]
	// forgotten counts the calls of forget, for an answer on its way may be one that was to be forgotten: it is not
	// remembered, and who asks later does not wait for it.
	forgotten uint64
}

type remembered[V any] struct {
	value V
	until time.Time
}

// digest stands for a question. Who wants another's answer would have to find another question with the same SHA-256.
type digest [sha256.Size]byte

// digestOf keeps the parts apart: ("ab", "c") is not ("a", "bc").
func digestOf(parts ...string) digest {
	hash := sha256.New()
	var size [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		hash.Write(size[:])
		hash.Write([]byte(part))
	}
	return digest(hash.Sum(nil))
}

// get returns the remembered answer or asks for it. ask says for how long the answer holds; zero is not at all, but those
// who are waiting get it.
func (m *memo[V]) get(question digest, ask func() (V, time.Duration, error)) (V, error) {
	if value, ok := m.recall(question); ok {
		return value, nil
	}
	forgotten := m.generation()
	key := binary.BigEndian.AppendUint64(question[:], forgotten)
	answer, err, _ := m.asking.Do(string(key), func() (any, error) {
		value, holds, err := ask()
		if err == nil && holds > 0 {
			m.remember(question, remembered[V]{value, time.Now().Add(holds)}, forgotten)
		}
		return value, err
	})
	value, ok := answer.(V)
	if err == nil && !ok {
		err = deny(Unavailable)
	}
	return value, err
}

func (m *memo[V]) recall(question digest) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.answers[question]
	if ok && !time.Now().Before(r.until) {
		delete(m.answers, question)
		ok = false
	}
	return r.value, ok
}

func (m *memo[V]) remember(question digest, r remembered[V], forgotten uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forgotten != forgotten {
		return
	}
	if m.answers == nil {
		m.answers = map[digest]remembered[V]{}
	}
	if len(m.answers) >= maxRemembered {
		m.makeRoom()
	}
	m.answers[question] = r
}

// makeRoom looks at a few answers, which are others each time, and drops the one that ends first.
func (m *memo[V]) makeRoom() {
	var first digest
	var ends time.Time
	seen := 0
	for question, r := range m.answers {
		if seen == 0 || r.until.Before(ends) {
			first, ends = question, r.until
		}
		if seen++; seen == 20 {
			break
		}
	}
	delete(m.answers, first)
}

// generation is how often everything was forgotten.
func (m *memo[V]) generation() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgotten
}

// forget drops every answer.
func (m *memo[V]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgotten++
	clear(m.answers)
}
