package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// encoder is a Handler that writes the message again: what Decode must not have lost anything of.
type encoder struct {
	out     []byte
	inBlock bool
	within  []uint32 // what Within was called with
}

func (e *encoder) string(s string) { e.out = append(append(e.out, s...), 0) }
func (e *encoder) uint32(v uint32) { e.out = binary.BigEndian.AppendUint32(e.out, v) }
func (e *encoder) uint64(v uint64) { e.out = binary.BigEndian.AppendUint64(e.out, v) }

func (e *encoder) time(t time.Time) { e.uint64(uint64(t.UnixMicro() - postgresEpoch)) }

func (e *encoder) bit(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func (e *encoder) Begin(m Begin) error {
	e.out = append(e.out, 'B')
	e.uint64(uint64(m.Final))
	e.time(m.Time)
	e.uint32(m.XID)
	return nil
}

func (e *encoder) Commit(m Commit) error {
	e.out = append(e.out, 'C', 0)
	e.uint64(uint64(m.Commit))
	e.uint64(uint64(m.End))
	e.time(m.Time)
	return nil
}

func (e *encoder) Relation(m Relation) error {
	e.out = append(e.out, 'R')
	e.uint32(m.OID)
	if m.Schema == "pg_catalog" {
		m.Schema = ""
	}
	e.string(m.Schema)
	e.string(m.Name)
	e.out = append(e.out, m.Identity)
	e.out = binary.BigEndian.AppendUint16(e.out, uint16(len(m.Columns)))
	for _, c := range m.Columns {
		e.out = append(e.out, e.bit(c.Identity))
		e.string(c.Name)
		e.uint32(c.TypeOID)
		e.uint32(uint32(c.TypeMod))
	}
	return nil
}

func (e *encoder) Insert(relation uint32, after cdc.Row) error {
	e.out = append(e.out, 'I')
	e.uint32(relation)
	e.out = append(append(e.out, 'N'), after...)
	return nil
}

func (e *encoder) Update(relation uint32, old OldTuple, before, after cdc.Row) error {
	e.out = append(e.out, 'U')
	e.uint32(relation)
	if old != OldNone {
		e.out = append(append(e.out, byte(old)), before...)
	}
	e.out = append(append(e.out, 'N'), after...)
	return nil
}

func (e *encoder) Delete(relation uint32, old OldTuple, before cdc.Row) error {
	e.out = append(e.out, 'D')
	e.uint32(relation)
	e.out = append(append(e.out, byte(old)), before...)
	return nil
}

// Oversized is never called for a whole message.
func (e *encoder) Oversized(uint32, int) error { return errors.New("a whole message is not oversized") }

func (e *encoder) Truncate(m Truncate) error {
	e.out = append(e.out, 'T')
	e.uint32(uint32(len(m.Relations)))
	e.out = append(e.out, e.bit(m.Cascade)|e.bit(m.Restart)<<1)
	for _, oid := range m.Relations {
		e.uint32(oid)
	}
	return nil
}

func (e *encoder) Message(m LogicalMessage) error {
	if e.inBlock {
		e.within = append(e.within, m.XID)
	}
	e.out = append(e.out, 'M', e.bit(m.Transactional))
	e.uint64(uint64(m.LSN))
	e.string(m.Prefix)
	e.uint32(uint32(len(m.Content)))
	e.out = append(e.out, m.Content...)
	return nil
}

func (e *encoder) Origin(m Origin) error {
	e.out = append(e.out, 'O')
	e.uint64(uint64(m.Commit))
	e.string(m.Name)
	return nil
}

func (e *encoder) Type(m Type) error {
	e.out = append(e.out, 'Y')
	e.uint32(m.OID)
	e.string(m.Schema)
	e.string(m.Name)
	return nil
}

func (e *encoder) StreamStart(m StreamStart) error {
	e.out = append(e.out, 'S')
	e.uint32(m.XID)
	e.out = append(e.out, e.bit(m.First))
	return nil
}

func (e *encoder) StreamStop() error {
	e.out = append(e.out, 'E')
	return nil
}

func (e *encoder) StreamCommit(m StreamCommit) error {
	e.out = append(e.out, 'c')
	e.uint32(m.XID)
	e.out = append(e.out, 0)
	e.uint64(uint64(m.Commit))
	e.uint64(uint64(m.End))
	e.time(m.Time)
	return nil
}

func (e *encoder) StreamAbort(m StreamAbort) error {
	e.out = append(e.out, 'A')
	e.uint32(m.XID)
	e.uint32(m.Subtransaction)
	return nil
}

// Within comes before the message that it is a part of: see message.
func (e *encoder) Within(xid uint32) error {
	e.within = append(e.within, xid)
	return nil
}

// message is what was decoded, encoded.
func (e *encoder) message() []byte {
	if len(e.within) != 1 {
		return e.out
	}
	return slices.Concat(e.out[:1], binary.BigEndian.AppendUint32(nil, e.within[0]), e.out[1:])
}

// checkDecode decodes what may be anything, and encodes what was accepted.
func checkDecode(t *testing.T, message []byte, inBlock bool) (accepted bool) {
	t.Helper()
	e := encoder{inBlock: inBlock}
	d := Decoder{inBlock: inBlock}
	err := d.Decode(message, &e)
	if err != nil {
		if !errors.Is(err, ErrMessage) {
			t.Fatalf("%x: %v is no ErrMessage", message, err)
		}
		if len(e.out) > 0 || len(e.within) > 0 || d.inBlock != inBlock {
			t.Fatalf("%x: the handler was called for a message that was refused", message)
		}
		return false
	}
	if attributed := bytes.IndexByte([]byte("IUDRTMY"), message[0]) >= 0; len(e.within) > 1 || (len(e.within) == 1) != (inBlock && attributed) {
		t.Fatalf("%x was called that of %d", message, e.within)
	}
	// The empty namespace and the written one are the same.
	if short := bytes.Replace(message, []byte("pg_catalog\x00"), []byte{0}, 1); message[0] == 'R' && !bytes.Equal(e.message(), message) {
		message = short
	}
	if !bytes.Equal(e.message(), message) {
		t.Fatalf("%x was decoded to what encodes as %x", message, e.message())
	}
	return true
}

func FuzzDecode(f *testing.F) {
	for _, g := range goldens(f) {
		for _, each := range g {
			m := each.message[:min(len(each.message), 200)] // long enough for every kind but the one with the long text
			f.Add(m, each.inBlock)
			f.Add(m, !each.inBlock)
			f.Add(m[:len(m)/2], each.inBlock)
			f.Add(append(slices.Clone(m), 0), each.inBlock)
			flipped := slices.Clone(m)
			flipped[len(m)/2] ^= 0x80
			f.Add(flipped, each.inBlock)
		}
	}
	f.Fuzz(func(t *testing.T, message []byte, inBlock bool) {
		checkDecode(t, message, inBlock)
		checkDecodeHead(t, message, inBlock)
	})
}

// checkDecodeHead looks that of the beginning of a message no more is told than that a row of a table was too long.
func checkDecodeHead(t *testing.T, head []byte, inBlock bool) {
	t.Helper()
	need := 1 + 4
	if inBlock {
		need += 4
	}
	row := len(head) >= need && bytes.IndexByte([]byte("IUD"), head[0]) >= 0
	other := len(head) > 0 && head[0] == 'M'
	told := errors.New("told")
	d := Decoder{inBlock: inBlock}
	err := d.DecodeHead(head, len(head)+1, refusing{told})
	if errors.Is(err, told) != row || (err == nil) != other || errors.Is(err, ErrMessage) != (!row && !other) {
		t.Errorf("the beginning %x: error %v", head, err)
	}
}

func TestP86ABeginningOfAMessage(t *testing.T) {
	for _, g := range goldens(t) {
		for _, each := range g {
			for n := range min(len(each.message), 20) {
				checkDecodeHead(t, each.message[:n], each.inBlock)
			}
		}
	}
}

// Each golden message is accepted whole, refused at every shorter length and with a byte more, and none of its bits,
// turned, does harm.
func TestDecodeCutAndFlipped(t *testing.T) {
	for _, g := range goldens(t) {
		for _, each := range g {
			m := each.message
			if !checkDecode(t, m, each.inBlock) {
				t.Errorf("%x is refused", m)
			}
			if checkDecode(t, append(slices.Clone(m), 0), each.inBlock) {
				t.Errorf("%x is accepted with a byte too many", m)
			}
			if len(m) > 500 {
				continue
			}
			for n := range m {
				if checkDecode(t, m[:n], each.inBlock) {
					t.Errorf("%x is accepted with %d of %d bytes", m, n, len(m))
				}
			}
			for bit := range 8 * len(m) {
				flipped := slices.Clone(m)
				flipped[bit/8] ^= 1 << (bit % 8)
				checkDecode(t, flipped, each.inBlock)
			}
		}
	}
}

// What a message claims to hold must not be believed before it is there.
func TestDecodeAllocatesNoMoreThanTheMessage(t *testing.T) {
	for name, message := range map[string][]byte{
		"relation of 65535 columns": []byte("R\x00\x00\x00\x01s\x00t\x00f\xff\xff"),
		"truncation of 2^32 tables": []byte("T\xff\xff\xff\xff\x00"),
		"message of 2^32 bytes":     []byte("M\x00\x00\x00\x00\x00\x00\x00\x00\x00p\x00\xff\xff\xff\xff"),
		"text of 2^31 bytes":        []byte("I\x00\x00\x00\x01N\x00\x01t\x7f\xff\xff\xff"),
		"row of 32767 columns":      []byte("I\x00\x00\x00\x01N\x7f\xff"),
	} {
		const rounds = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			if err := new(Decoder).Decode(message, &encoder{}); !errors.Is(err, ErrMessage) {
				t.Errorf("%s: error %v, want ErrMessage", name, err)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / rounds; got > 10_000 {
			t.Errorf("%s: %d bytes allocated for a message of %d", name, got, len(message))
		}
	}
}

func TestDecodePassesTheHandlersErrorOn(t *testing.T) {
	refused := errors.New("refused")
	for _, g := range goldens(t) {
		for _, each := range g {
			d := Decoder{inBlock: each.inBlock}
			if err := d.Decode(each.message, refusing{refused}); err != refused { //nolint:errorlint // as it is, says the contract
				t.Errorf("%x: error %v, want the handler's", each.message[:1], err)
			}
		}
	}
}

// refusing is a Handler that wants nothing.
type refusing struct{ err error }

func (h refusing) Begin(Begin) error                               { return h.err }
func (h refusing) Commit(Commit) error                             { return h.err }
func (h refusing) Relation(Relation) error                         { return h.err }
func (h refusing) Insert(uint32, cdc.Row) error                    { return h.err }
func (h refusing) Update(uint32, OldTuple, cdc.Row, cdc.Row) error { return h.err }
func (h refusing) Delete(uint32, OldTuple, cdc.Row) error          { return h.err }
func (h refusing) Oversized(uint32, int) error                     { return h.err }
func (h refusing) Truncate(Truncate) error                         { return h.err }
func (h refusing) Message(LogicalMessage) error                    { return h.err }
func (h refusing) Origin(Origin) error                             { return h.err }
func (h refusing) Type(Type) error                                 { return h.err }
func (h refusing) StreamStart(StreamStart) error                   { return h.err }
func (h refusing) StreamStop() error                               { return h.err }
func (h refusing) StreamCommit(StreamCommit) error                 { return h.err }
func (h refusing) StreamAbort(StreamAbort) error                   { return h.err }
func (h refusing) Within(uint32) error                             { return h.err }
