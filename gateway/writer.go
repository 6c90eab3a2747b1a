package gateway

// writer is what one goroutine needs to send.
type writer struct {
	offer  *offer
	buffer []byte
}

const (
	// writerBuffer is how much of small pieces is put together for one write: the system call costs far more than to copy.
	writerBuffer = 64 << 10
	// smallPiece is the size up to which a piece is copied for that.
	smallPiece = 8 << 10
	// turnBytes is about how much a session may send before others are served.
	turnBytes = 256 << 10
)

// serve sends what waits for a session, and tells whether there may be more: then it is to be served again. Otherwise the
// session is done with until it is ready anew, or goes on elsewhere.
func (w *writer) serve(s *session) (more bool) {
	for sent := 0; sent < turnBytes; {
		if len(s.left()) == 0 && !s.take() {
			return false
		}
		raw := s.socket.raw
		if !raw.writing.TryLock() {
			s.giveWay()
			return false
		}
		bytes, pieces := w.gather(s.left())
		s.notePing(pieces)
		n, err := w.offer.to(raw, bytes)
		s.gateway.writers.writes.Add(1)
		if err == nil && n < len(bytes) {
			s.stall(append([]byte(nil), bytes[n:]...), pieces)
			return false
		}
		raw.writing.Unlock()
		if err != nil {
			s.broken(err)
			return false
		}
		s.gone(pieces)
		sent += n
	}
	return true
}

// gather returns what is to be written next, and how many pieces that is.
func (w *writer) gather(pieces [][]byte) (bytes []byte, n int) {
	if len(pieces) == 1 || len(pieces[0]) > smallPiece {
		return pieces[0], 1
	}
	w.buffer = w.buffer[:0]
	for _, piece := range pieces {
		if n > 0 && (len(piece) > smallPiece || len(w.buffer)+len(piece) > writerBuffer) {
			break
		}
		w.buffer = append(w.buffer, piece...)
		n++
	}
	return w.buffer, n
}
