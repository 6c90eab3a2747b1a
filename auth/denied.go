package auth

import (
	"context"
	"errors"
	"fmt"
)

// Denied is the error with which everything here refuses. Neither its text nor its reason holds anything of a token, a
// claim or a row, so both may be logged.
type Denied struct {
	Reason Reason
	// detail says more to an operator, and cause is what happened; either may be missing.
	detail string
	cause  error
}

// Reason says why something was refused. There are only those below, so that it can be a metric's label.
type Reason string

// The reasons.
const (
	NoCredentials    Reason = "no_credentials"    // the request has none where they are looked for
	Malformed        Reason = "malformed"         // the credentials are not what they have to be
	WrongAlgorithm   Reason = "wrong_algorithm"   // the token is signed in a way that is not listed
	UnknownKey       Reason = "unknown_key"       // none of the keys may have signed the token
	WrongSignature   Reason = "wrong_signature"   // the token is signed by somebody else
	Expired          Reason = "expired"           // the time of the credentials is over
	NotYetValid      Reason = "not_yet_valid"     // their time has not come
	WrongAudience    Reason = "wrong_audience"    // they are meant for somebody else
	WrongIssuer      Reason = "wrong_issuer"      // they come from somebody else
	UnusableClaims   Reason = "unusable_claims"   // a claim is missing or of the wrong type
	UntrustedProxy   Reason = "untrusted_proxy"   // the request came past the proxy
	TooLarge         Reason = "too_large"         // the token has more bytes than any that is looked at
	Unavailable      Reason = "unavailable"       // who had to be asked gave no answer that can be used
	Forbidden        Reason = "forbidden"         // the answer is no
	EvaluationFailed Reason = "evaluation_failed" // an expression came to an error
	TooCostly        Reason = "too_costly"        // an expression came to the limit of what it may cost
)

func (d *Denied) Error() string {
	text := "denied: " + string(d.Reason)
	if d.detail != "" {
		text += ": " + d.detail
	}
	if d.cause != nil {
		text += ": " + d.cause.Error()
	}
	return text
}

// Unwrap gives the cause, if there is one.
func (d *Denied) Unwrap() error { return d.cause }

func deny(reason Reason) *Denied { return &Denied{Reason: reason} }

func denyf(reason Reason, format string, args ...any) *Denied {
	return &Denied{Reason: reason, detail: fmt.Sprintf(format, args...)}
}

// ErrUnavailable is for functions: an error that wraps it says that there was no answer, neither a yes nor a no.
var ErrUnavailable = errors.New("no answer")

// denied makes a *Denied of an error of somebody else's. Without an answer it is none of a decision.
func denied(err error) *Denied {
	if d := (*Denied)(nil); errors.As(err, &d) {
		return d
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return deny(Unavailable)
	}
	return deny(Forbidden)
}

// Undecided tells whether there was no decision: what had to be asked gave no answer. It is for those who do not know this
// package, and see the error only.
func (d *Denied) Undecided() bool { return d.Reason == Unavailable }

// Undecided tells whether an error says that there was no decision: what had to be asked gave no answer. That is neither
// a yes nor a no. The caller lets nobody in, and says that it may be tried again.
func Undecided(err error) bool {
	d := (*Denied)(nil)
	return errors.As(err, &d) && d.Reason == Unavailable
}
