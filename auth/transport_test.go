package auth

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// service stands for whoever is asked over HTTP, without a network, so that time can be a test's own.
type service struct {
	mu       sync.Mutex
	status   int           // 0 is nobody there
	header   http.Header   // of the answer
	body     []byte        // of the answer
	takes    time.Duration // until the answer
	requests []*http.Request
	bodies   []string
}

var errNobodyThere = errors.New("connection refused")

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(body))
	status, header, answer, takes := s.status, s.header.Clone(), s.body, s.takes
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if status == 0 {
		return nil, errNobodyThere
	}
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(answer)), Request: r, ContentLength: int64(len(answer)),
	}, nil
}

// says makes it answer from now on; headers are name, value, name, value, ...
func (s *service) says(status int, body []byte, headers ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body, s.header = status, body, http.Header{}
	for i := 0; i < len(headers); i += 2 {
		s.header.Set(headers[i], headers[i+1])
	}
}

func (s *service) slowsTo(takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes = takes
}

func (s *service) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// endless is a body that never ends.
type endless struct{}

func (endless) RoundTrip(r *http.Request) (*http.Response, error) {
	body := io.NopCloser(io.MultiReader(strings.NewReader(`{"sub":"`), letters{}))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r, ContentLength: -1}, nil
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}
