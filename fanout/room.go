package fanout

// A client may ask for more snapshots at once than its queue holds, and read as fast as it can. What is too much for the
// moment waits: nothing is read for a client whose queue would have no room for it, and a snapshot that does not fit is read
// again when the client has taken in what is before it. So only changes, which cannot wait, make a client too slow.

// setAside lets a subscription wait until its client's queue has room for a snapshot of n bytes, and what is kept for the
// client while it is on hold leaves room for it as well. It returns false where there is room.
func (h *Hub) setAside(s *subscription, n int) bool {
	c := s.client
	if c.queue.fits(n) && (c.held == 0 || c.held+n <= roomToWait(h.queueBytes)) {
		return false
	}
	h.leave(s)
	s.aside = true
	if c.aside == nil {
		c.aside = map[*subscription]struct{}{}
	}
	c.aside[s] = struct{}{}
	return true
}

// letIn lets those wait for their snapshots that waited for room. All of them do, for they need not be of one size, and
// those that find none left wait for it once more.
func (h *Hub) letIn(c *Client) {
	for s := range c.aside {
		h.await(s)
	}
}
