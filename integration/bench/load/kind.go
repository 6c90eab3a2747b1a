package load

// Kind is what a message is, as its first bytes tell.
type Kind uint8

// The kinds. A message that is not JSON of the gateway's is Other; one that is compressed cannot be told.
const (
	Other Kind = iota
	Change
	Transaction
	Subscribed
	Snapshot
	Welcome
	Heartbeat
	Reset
	Refusal
	Compressed
	kinds
)

// kindOf reads the first two letters behind {"type":", which no two kinds share.
func kindOf(payload []byte) Kind {
	const at = len(`{"type":"`)
	if len(payload) < at+2 || payload[2] != 't' || payload[8] != '"' {
		return Other
	}
	switch string(payload[at : at+2]) {
	case "ch":
		return Change
	case "tr":
		return Transaction
	case "su":
		return Subscribed
	case "sn":
		return Snapshot
	case "we":
		return Welcome
	case "he":
		return Heartbeat
	case "re":
		return Reset
	case "er":
		return Refusal
	}
	return Other
}
