package fanout

// Sender is told when a transaction is about to bring frames, Hold, and when it has, Release. In between clients are said to be
// ready; to wait for Release is worth it where few are. Both are called from any goroutine. Hold must not wait for anything;
// Release is called outside of the hub's lock, and may take from the clients.
type Sender interface {
	Hold()
	Release()
}

// nobody is the Sender of a hub that has none.
type nobody struct{}

func (nobody) Hold()    {}
func (nobody) Release() {}

// SetSender is called before the hub gets anything.
func (h *Hub) SetSender(s Sender) { h.sender = s }
