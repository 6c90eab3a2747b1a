package cdc

// slab is the memory of small transactions that follow one another: to allocate each of them apart makes it take twice as long
// to assemble them (BenchmarkAssemble). A transaction that is kept keeps its slab, so whoever keeps few of many takes a Clone.
type slab struct {
	transactions []Transaction
	bytes        []byte
}

const (
	slabTransactions = 128
	slabBytes        = 16 << 10
)

// transaction returns one that is zero.
func (s *slab) transaction() *Transaction {
	if len(s.transactions) == 0 {
		s.transactions = make([]Transaction, slabTransactions)
	}
	tx := &s.transactions[0]
	s.transactions = s.transactions[1:]
	return tx
}

// clone copies b, which may be large, to memory of its size.
func (s *slab) clone(b []byte) []byte {
	if len(b) > slabBytes/8 {
		return append(make([]byte, 0, len(b)), b...)
	}
	if len(b) > cap(s.bytes)-len(s.bytes) {
		s.bytes = make([]byte, 0, slabBytes)
	}
	at := len(s.bytes)
	s.bytes = append(s.bytes, b...)
	return s.bytes[at:len(s.bytes):len(s.bytes)]
}
