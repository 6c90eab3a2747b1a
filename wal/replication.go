package wal

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// replication is a connection that was taken over from pgconn to stream (PostgreSQL manual, "Streaming Replication
// Protocol"): one message costs pgconn more than decoding and assembling it. It belongs to one goroutine.
type replication struct {
	conn    net.Conn
	network *gatheringConn // what conn, which may be TLS, reads from
	frames  frames
	maxRow  int // how long a message with a row is held
	notices func(*pgconn.Notice)
	sending []byte
}

// errStreamEnded: the server ended the stream, as it does when it shuts down.
var errStreamEnded = errors.New("the server ended the stream")

// takeOver takes the connection from pgconn, where nothing may be under way. From then on it is closed here.
func takeOver(ctx context.Context, conn *pgconn.PgConn, maxRow int, notices func(*pgconn.Notice)) (*replication, error) {
	if err := conn.SyncConn(ctx); err != nil {
		return nil, fmt.Errorf("take the connection over: %w", err)
	}
	taken, err := conn.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take the connection over: %w", err)
	}
	r := &replication{conn: taken.Conn, frames: frames{from: taken.Conn}, maxRow: maxRow, notices: notices}
	r.frames.bound = r.bound
	below := taken.Conn
	if encrypted, ok := below.(*tls.Conn); ok {
		below = encrypted.NetConn()
	}
	r.network, _ = below.(*gatheringConn)
	return r, nil
}

// start sends START_REPLICATION and waits until the stream begins.
func (r *replication) start(ctx context.Context, command string) error {
	stop := context.AfterFunc(ctx, func() { _ = r.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	query, err := (&pgproto3.Query{String: command}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := r.conn.Write(query); err != nil {
		return err
	}
	for {
		kind, body, err := r.frames.next()
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		if kind == 'W' { // CopyBothResponse
			return nil
		}
		if err := r.other(kind, body); err != nil {
			return err
		}
	}
}

// ready tells whether receive has something that has arrived already. Of an encrypted message that may be only a part: the
// rest was sent with it.
func (r *replication) ready() bool {
	return r.frames.ready() || r.network != nil && r.network.buffered()
}

// receive returns what is in the next CopyData message, which is valid until the next call, or nil after another message
// that does not end the stream. Of a message that is too long to be held it returns the beginning, and how many bytes are
// missing. An error that the server sent is a *walsenderError.
func (r *replication) receive() (data []byte, missing int, err error) {
	kind, body, err := r.frames.next()
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("receive: %w", err)
	case kind == 'd' && len(body) == 0:
		return nil, 0, fmt.Errorf("receive: empty message: %w", ErrMessage)
	case kind == 'd':
		return body, r.frames.cut, nil
	case r.frames.cut > 0:
		return nil, 0, fmt.Errorf("receive: kind %q of %d bytes: %w", kind, len(body)+r.frames.cut, errFrame)
	}
	if err := r.other(kind, body); err != nil {
		return nil, 0, fmt.Errorf("receive: %w", fromWalsender(err))
	}
	return nil, 0, nil
}

const (
	// logHeader is what stands before the log's data in a CopyData message: a byte, the start and end of the log on the server,
	// its clock.
	logHeader = 1 + 8 + 8 + 8
	// maxLogicalMessage bounds the messages of pg_logical_emit_message, which every role may write and the stream does not ask
	// for.
	maxLogicalMessage = 1<<20 + 1<<10
)

// bound is how many bytes of a message are held at most.
func (r *replication) bound(kind byte, head []byte) int {
	if kind == 'd' && head[0] == pglogrepl.XLogDataByteID && head[logHeader] == 'M' {
		return maxLogicalMessage
	}
	return r.maxRow
}

// other handles the messages that come beside the data.
func (r *replication) other(kind byte, body []byte) error {
	switch kind {
	case 'E':
		var m pgproto3.ErrorResponse
		if err := m.Decode(body); err != nil {
			return fmt.Errorf("decode an error: %w", errors.Join(errFrame, err))
		}
		return pgconn.ErrorResponseToPgError(&m)
	case 'N':
		var m pgproto3.ErrorResponse // has the same fields
		if err := m.Decode(body); err != nil {
			return fmt.Errorf("decode a notice: %w", errors.Join(errFrame, err))
		}
		r.notices((*pgconn.Notice)(pgconn.ErrorResponseToPgError(&m)))
	case 'c', 'C': // CopyDone, CommandComplete
		return errStreamEnded
	case 'S', 'A', 'Z': // ParameterStatus, NotificationResponse, ReadyForQuery
	default:
		return fmt.Errorf("message of kind %q: %w", kind, errFrame)
	}
	return nil
}

// send sends a CopyData message, and fails after the given time.
func (r *replication) send(data []byte, within time.Duration) error {
	if err := r.conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	r.sending = binary.BigEndian.AppendUint32(append(r.sending[:0], 'd'), uint32(4+len(data)))
	r.sending = append(r.sending, data...)
	_, err := r.conn.Write(r.sending)
	return err
}

// close says goodbye and waits until the server has closed its side, for then it has let the slot go. What it sends until
// then is nobody's any more: it will be sent again. close may be called more than once.
func (r *replication) close() {
	_ = r.conn.SetDeadline(time.Now().Add(farewell))
	if goodbye, err := (&pgproto3.Terminate{}).Encode(nil); err == nil {
		if _, err := r.conn.Write(goodbye); err == nil {
			_, _ = io.Copy(io.Discard, r.conn)
		}
	}
	_ = r.conn.Close()
}
