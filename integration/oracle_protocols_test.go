package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
)

const extendedProtocol = "mtbreactive.v2"

// baseSession speaks the base protocol: every connection begins with snapshots.
type baseSession struct{ *subscriber }

func (s *baseSession) subscribe(v *held) string {
	return fmt.Sprintf(`{"type":"subscribe","channel":%q,"scope":%s}`, v.view.channel, v.view.scope)
}

func (s *baseSession) take(frame []byte) error {
	var f serverFrame
	if err := strict(frame, &f); err != nil {
		return err
	}
	if f.Type == "error" {
		if f.Code == "snapshot_unavailable" {
			return errRetry
		}
		return fmt.Errorf("refused: %s", f.Code)
	}
	v, err := s.about(f.Channel, f.Scope, frame)
	if err != nil {
		return err
	}
	switch f.Type {
	case "subscribed":
		v.confirm()
		v.void()
		return nil
	case "snapshot":
		if v.state == asked {
			return nil
		}
		v.complete(s.begun.Load())
		return v.replace(f.Rows)
	case "change":
	default:
		return fmt.Errorf("unknown type %q", f.Type)
	}
	if f.Event != nil {
		f.Events = append(f.Events, *f.Event)
	}
	events := make([]extendedEvent, len(f.Events))
	for i, e := range f.Events {
		events[i] = extendedEvent{event: e}
	}
	if err := s.changes(v, events); err != nil {
		return err
	}
	if v.table != "journal" || v.state != active {
		return nil
	}
	// A transaction's row in the journal is the last that it writes.
	transactions, err := journalled(events)
	for _, transaction := range transactions {
		s.boundary(transaction)
	}
	return err
}

// extendedSession speaks the extended protocol: it resumes each view with the cursor of the last frame that named it, or of
// the last heartbeat.
type extendedSession struct{ *subscriber }

func (s *extendedSession) subscribe(v *held) string {
	since := ""
	if v.cursor != "" && v.begun != notYet {
		since = fmt.Sprintf(`,"since":%q`, v.cursor)
	}
	return fmt.Sprintf(`{"type":"subscribe","channel":%q,"scope":%s%s}`, v.view.channel, v.view.scope, since)
}

func (s *extendedSession) take(frame []byte) error {
	var f extendedFrame
	if err := strict(frame, &f); err != nil {
		return err
	}
	switch f.Type {
	case "welcome":
		if f.Epoch == "" || f.Cursor == "" || f.HeartbeatMs <= 0 {
			return errors.New("something is missing")
		}
		return nil
	case "heartbeat":
		for _, v := range s.views {
			if v.state == active && v.begun != notYet {
				v.cursor = f.Cursor
			}
		}
		return nil
	case "transaction":
		return s.transaction(&f)
	case "error":
		if f.Code == "snapshot_unavailable" {
			return errRetry
		}
		if f.Code == "unavailable" {
			v, err := s.about(f.Channel, f.Scope, frame)
			if err == nil {
				v.state = given
				err = unavailable{v}
			}
			return err
		}
		return fmt.Errorf("refused: %s: %s", f.Code, f.Message)
	}
	v, err := s.about(f.Channel, f.Scope, frame)
	if err != nil {
		return err
	}
	switch f.Type {
	case "subscribed":
		resumes := v.cursor != "" && v.begun != notYet
		v.confirm()
		if !f.Resumed {
			v.void()
			return nil
		}
		if !resumes {
			return fmt.Errorf("%w: resumed without a cursor", disordered)
		}
		s.resumed++
		v.complete(s.begun.Load()) // what it missed follows
	case "snapshot":
		if v.state == asked {
			return nil
		}
		v.complete(s.begun.Load())
		if err := v.replace(f.Rows); err != nil {
			return err
		}
	case "reset":
		v.void()
		v.cursor = ""
		return nil
	case "unsubscribed":
		return nil
	default:
		return fmt.Errorf("unknown type %q", f.Type)
	}
	if f.Cursor == "" {
		return errors.New("no cursor")
	}
	v.cursor = f.Cursor
	return nil
}

// transaction takes in what a commit did to the client's views.
func (s *extendedSession) transaction(f *extendedFrame) error {
	if f.Cursor == "" || f.CommitTime.IsZero() {
		return errors.New("something is missing")
	}
	var boundaries []int64
	for _, part := range f.Changes {
		text, err := json.Marshal(part)
		if err != nil {
			return err
		}
		v, err := s.about(part.Channel, part.Scope, text)
		if err != nil {
			return err
		}
		if err := s.changes(v, part.Events); err != nil {
			return err
		}
		if v.state != active {
			continue
		}
		v.cursor = f.Cursor
		if v.table == "journal" {
			if boundaries, err = journalled(part.Events); err != nil {
				return err
			}
		}
	}
	if len(boundaries) > 1 || len(boundaries) == 1 && f.Partial {
		return fmt.Errorf("%w: more than one transaction in a frame, or not the last part of one", disordered)
	}
	for _, transaction := range boundaries {
		s.boundary(transaction)
	}
	return nil
}
