package auth

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"
)

// asker asks a database the questions of one authorizer. Those that wait at the same time are asked together: while a few
// queries run, questions gather, and the next query is about all of them. The work is done by the goroutines that wait: one
// that gets a slot waits for a connection, and then asks what has gathered by that time.
type asker struct {
	database Database
	query    *query
	// timeout is how long a query may take from when its connection is had. patience is how long a question waits until it
	// is asked.
	timeout, patience time.Duration
	holds             time.Duration // how long an answer does
	memo              memo[bool]
	slots             chan struct{} // as many queries as run at once

	mu      sync.Mutex
	pending map[string]*question
	queue   []*question // those that nobody asks at the moment
	most    int         // how many are asked at once: fewer after a query that took too long
}

const (
	// maxAsking is how many queries of one authorizer run at the same time.
	maxAsking = 4
	// maxTogether is how many questions are asked at once.
	maxTogether = 512
	// apart is into how many those are divided that took too long together: soon the one that is slow stands alone.
	apart = 24
	// leastPatience is how long a question waits at least.
	leastPatience = 5 * time.Second
	// attempts is how many connections a question is given that break while it is asked.
	attempts = 2
)

// patience is how long a question waits until it is asked, by how long the answer may take.
func patience(timeout time.Duration) time.Duration { return max(leastPatience, 2*timeout) }

// question is one list of arguments, and everybody who waits for the answer.
type question struct {
	arguments []*string
	key       string
	digest    digest
	forgotten uint64 // of the memo, when it was first asked
	waiting   int
	attempts  int
	company   int           // with how many it may be asked at once; 0 is any number
	asked     chan struct{} // closed when the query that is asking has ended; nil while the question is queued
	answered  chan struct{} // closed when the rest is set
	allowed   bool
	err       error
}

// ask returns the answer, or a *Denied. Who waits leaves when ctx ends; others may wait for the same answer.
func (a *asker) ask(ctx context.Context, arguments []*string) (bool, error) {
	q, allowed, known := a.join(arguments)
	if known {
		return allowed, nil
	}
	defer a.leave(q)
	patient, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	var running chan struct{} // closed when the query has ended that asks the question; nil while none does
	for {
		slots := a.slots
		if running != nil {
			slots = nil
		}
		select {
		case <-q.answered:
			return q.allowed, q.err
		case slots <- struct{}{}:
			running = a.lead(patient, q)
			<-a.slots
		case <-running:
			running = nil // perhaps without an answer
		case <-patient.Done():
			if running = a.asking(q); running != nil && ctx.Err() == nil {
				select { // that does not take long any more
				case <-q.answered:
				case <-running:
				case <-ctx.Done():
				}
			}
			select {
			case <-q.answered:
				return q.allowed, q.err
			default:
				return false, denyf(Unavailable, "there was no connection to the database for the question within %s", a.patience)
			}
		}
	}
}

// join finds the question, or adds it to the queue.
func (a *asker) join(arguments []*string) (q *question, allowed, known bool) {
	parts := make([]string, len(arguments))
	for i, text := range arguments {
		parts[i] = *text
	}
	key := digestOf(parts...)
	if allowed, known = a.memo.recall(key); known {
		return nil, allowed, true
	}
	forgotten := a.memo.generation()
	name := string(binary.BigEndian.AppendUint64(key[:], forgotten))
	a.mu.Lock()
	defer a.mu.Unlock()
	if q = a.pending[name]; q == nil {
		q = &question{arguments: arguments, key: name, digest: key, forgotten: forgotten, answered: make(chan struct{})}
		if a.pending == nil {
			a.pending = map[string]*question{}
		}
		a.pending[name] = q
		a.queue = append(a.queue, q)
	}
	q.waiting++
	return q, false, false
}

// leave is for who waits no longer. What nobody waits for is not asked.
func (a *asker) leave(q *question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q.waiting--
	if q.waiting > 0 || q.asked != nil || a.pending[q.key] != q {
		return
	}
	delete(a.pending, q.key)
	a.queue = slices.DeleteFunc(a.queue, func(other *question) bool { return other == q })
}

// asking returns a channel that is closed when the query has ended that asks the question; nil while none does.
func (a *asker) asking(q *question) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return q.asked
}

// lead asks what waits, until the question is answered or ctx ends, or somebody else asks it: then the channel is closed
// when that has ended.
func (a *asker) lead(ctx context.Context, q *question) (running chan struct{}) {
	for ctx.Err() == nil {
		select {
		case <-q.answered:
			return nil
		default:
		}
		if running = a.asking(q); running != nil {
			return running
		}
		had := false
		err := a.database.With(ctx, func(c Connection) error {
			had = true
			return a.askTogether(context.WithoutCancel(ctx), c, q) // others wait for the answers
		})
		if err != nil && !had && ctx.Err() == nil { // nobody gets a connection at the moment
			for _, other := range a.take(q) {
				a.answer(other, false, denyf(Unavailable, "no connection to the database"))
			}
		}
	}
	return nil
}

// take removes as many questions from the queue as are asked at once. The caller's own goes first, so that a slow question holds
// up only those who are asked about with it.
func (a *asker) take(own *question) []*question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := slices.Index(a.queue, own); at > 0 {
		copy(a.queue[1:at+1], a.queue[:at])
		a.queue[0] = own
	}
	if a.most == 0 {
		a.most = maxTogether
	}
	n, most := 0, a.most
	for ; n < min(len(a.queue), most); n++ {
		if company := a.queue[n].company; company > 0 && company < most {
			if most = company; n >= most {
				break
			}
		}
	}
	taken := slices.Clone(a.queue[:n])
	a.queue = slices.Delete(a.queue, 0, n)
	asked := make(chan struct{})
	for _, q := range taken {
		q.asked = asked
	}
	return taken
}

// askTogether asks what waits now. The error is the connection's.
func (a *asker) askTogether(ctx context.Context, c Connection, own *question) error {
	questions := a.take(own)
	if len(questions) == 0 {
		return nil
	}
	asked := questions[0].asked
	defer close(asked)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	arguments := make([][]*string, len(questions))
	for i, q := range questions {
		arguments[i] = q.arguments
	}
	verdicts, err := a.query.run(ctx, c, arguments)
	late := errors.Is(ctx.Err(), context.DeadlineExceeded)
	for i, q := range questions {
		switch {
		case err == nil:
			a.answer(q, verdicts[i].allowed, verdicts[i].err)
		case late && len(questions) > 1:
			if q.company > 0 { // a second time
				q.company = 1
			} else {
				q.company = max(1, len(questions)/apart)
			}
			a.again(q)
		case late:
			a.answer(q, false, denyf(Unavailable, "the query took longer than %s", a.timeout))
		case q.attempts+1 < attempts && !coded(err):
			q.attempts++
			a.again(q)
		default:
			a.answer(q, false, failed(err))
		}
	}
	a.adjust(len(questions), time.Since(began))
	return err
}

// adjust asks fewer at once after a query that took too long, and more again after one that took little of its time.
func (a *asker) adjust(questions int, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case took >= a.timeout && questions > 1:
		a.most = max(1, min(a.most, questions/apart))
	case took < a.timeout/4 && questions >= a.most:
		a.most = min(maxTogether, 2*a.most)
	}
}

// again queues a question that got no answer.
func (a *asker) again(q *question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q.asked = nil
	if q.waiting == 0 {
		delete(a.pending, q.key)
		return
	}
	a.queue = append(a.queue, q)
}

// answer tells everybody who waits. An answer is remembered, an error is not.
func (a *asker) answer(q *question, allowed bool, err error) {
	if err == nil && a.holds > 0 {
		a.memo.remember(q.digest, remembered[bool]{allowed, time.Now().Add(a.holds)}, q.forgotten)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending[q.key] != q {
		return // was answered
	}
	delete(a.pending, q.key)
	a.queue = slices.DeleteFunc(a.queue, func(other *question) bool { return other == q })
	q.allowed, q.err = allowed, err
	close(q.answered)
}
