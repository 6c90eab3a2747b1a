package values

import (
	"sync"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Options are what the operator chooses about the encoding.
type Options struct {
	// BigintAsString makes int8 and numeric JSON strings, also inside arrays and composites: JavaScript reads a JSON
	// number as a float, which above 2^53 is another number. Numbers within json and jsonb stay as they are.
	BigintAsString bool
}

// Catalog holds the types of one database by OID: the built-in ones from the start, others after [Catalog.Load]. It
// is safe for concurrent use.
type Catalog struct {
	options Options
	mu      sync.RWMutex
	types   map[uint32]Type
}

// NewCatalog returns a catalog of the built-in types.
func NewCatalog(options Options) *Catalog {
	c := &Catalog{options: options, types: make(map[uint32]Type)}
	for _, t := range builtinTypes() {
		c.types[t.OID] = t
	}
	return c
}

// Type returns what is known of the type; ok is false if it is neither built in nor loaded.
func (c *Catalog) Type(oid uint32) (t Type, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t, ok = c.types[oid]
	return t, ok
}

// Known tells whether the type is built in or loaded.
func (c *Catalog) Known(oid uint32) bool {
	_, ok := c.Type(oid)
	return ok
}

// Kind returns the kind of the type; one that is unknown counts as [Base], as its values are encoded.
func (c *Catalog) Kind(oid uint32) Kind {
	t, _ := c.Type(oid)
	return t.Kind
}

// Base returns the type that a domain is over, through any number of domains; for all other types, oid itself.
func (c *Catalog) Base(oid uint32) uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for range c.types { // a bound: rows of the catalog that were read at different times might form a ring
		t, ok := c.types[oid]
		if !ok || t.Kind != Domain {
			break
		}
		oid = t.Elem
	}
	return oid
}

// Forget drops what is known of the types: after an ALTER TYPE, the next [Catalog.Load] reads them anew. Encoders
// already given keep encoding what the types were.
func (c *Catalog) Forget(oids ...uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, oid := range oids {
		delete(c.types, oid)
	}
}

// Encoder returns the encoder of the type's values as the type is known now; an unknown type's values become JSON
// strings. Get it once per column, not once per value.
func (c *Catalog) Encoder(oid uint32) cdc.AppendJSON { return c.encoder(oid, c.options) }

func (c *Catalog) encoder(oid uint32, options Options) cdc.AppendJSON {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := builder{options: options, types: c.types, built: make(map[uint32]cdc.AppendJSON)}
	return b.encoder(oid)
}
