package gateway

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Refusal says why a client, or something that it asked for, was refused. There are only those below: it is a metric's label.
type Refusal string

// The refusals.
const (
	RefusedHost          Refusal = "host"          // a Host header that is not answered
	RefusedOrigin        Refusal = "origin"        // a page of another site
	RefusedToken         Refusal = "token"         // the client is not who it has to be: 4401
	RefusedUndecided     Refusal = "undecided"     // nobody could say who the client is: 1013
	RefusedConnections   Refusal = "connections"   // over MaxConnections
	RefusedMessages      Refusal = "messages"      // over MaxMessages
	RefusedSubscriptions Refusal = "subscriptions" // over MaxSubscriptions
	RefusedRenewals      Refusal = "renewals"      // tokens renewed too often
	RefusedFrameSize     Refusal = "frame_too_big"
	RefusedMisframed     Refusal = "misframed"
	RefusedSlow          Refusal = "slow_consumer" // the client took in frames too slowly
	RefusedForbidden     Refusal = "forbidden"     // a subscription that the client may not have
	RefusedUnavailable   Refusal = "unavailable"   // a subscription about which nobody could say
)

func allRefusals() []Refusal {
	return []Refusal{
		RefusedHost, RefusedOrigin, RefusedToken, RefusedUndecided, RefusedConnections, RefusedMessages, RefusedSubscriptions,
		RefusedRenewals, RefusedFrameSize, RefusedMisframed, RefusedSlow, RefusedForbidden, RefusedUnavailable,
	}
}

// refusalEvery is how often at most a line is logged for one reason.
const refusalEvery = time.Second

// Refusals counts what was refused, and logs a line for it: at most one a second for each reason, which says how many came
// since the one before. Its methods may be called from any goroutine.
type Refusals struct {
	log *zap.Logger
	now func() time.Time

	mu sync.Mutex
	by map[Refusal]*refused
}

type refused struct {
	total, unsaid uint64
	said          time.Time
}

// NewRefusals has counted none.
func NewRefusals(log *zap.Logger) *Refusals {
	r := &Refusals{log: log, now: time.Now, by: map[Refusal]*refused{}}
	for _, reason := range allRefusals() {
		r.by[reason] = &refused{}
	}
	return r
}

// note counts a refusal and logs it. The fields must hold nothing of a token, a claim or a row.
func (r *Refusals) note(reason Refusal, fields ...zap.Field) {
	if unsaid, say := r.count(reason); say {
		if unsaid > 0 {
			fields = append(fields, zap.Uint64("more", unsaid))
		}
		r.log.Info("refused", append([]zap.Field{zap.String("reason", string(reason))}, fields...)...)
	}
}

// count tells whether to log a line, and how many refusals had none since the last one.
func (r *Refusals) count(reason Refusal) (unsaid uint64, say bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	by := r.by[reason]
	by.total++
	now := r.now()
	if !by.said.IsZero() && now.Sub(by.said) < refusalEvery {
		by.unsaid++
		return 0, false
	}
	unsaid, by.unsaid, by.said = by.unsaid, 0, now
	return unsaid, true
}

// Totals are the counts since the start, of every reason there is.
func (r *Refusals) Totals() map[Refusal]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	totals := make(map[Refusal]uint64, len(r.by))
	for reason, by := range r.by {
		totals[reason] = by.total
	}
	return totals
}

// noteRequest is note about a request.
func (r *Refusals) noteRequest(reason Refusal, request *http.Request, fields ...zap.Field) {
	r.note(reason, append(fields, zap.String("remote", request.RemoteAddr))...)
}

func (r *Refusals) refuseHost(w http.ResponseWriter, request *http.Request) {
	r.noteRequest(RefusedHost, request, zap.String("host", shown(request.Host)),
		zap.String("do", "list it in allowedHosts if it is a name of the gateway"))
	http.Error(w, "this host is not answered: use localhost or an IP address, or list the name in allowedHosts", http.StatusForbidden)
}

// shown is the beginning of what a client sent, for the log.
func shown(text string) string {
	const enough = 100
	if len(text) > enough {
		return strings.ToValidUTF8(text[:enough], "") + "..."
	}
	return text
}
