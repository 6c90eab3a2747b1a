package protocol_test

import (
	"errors"
	"fmt"

	"github.com/reactive-gw/reactive-gw/protocol"
)

func ExampleParse() {
	for _, frame := range []string{
		`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":42}}`,
		`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":42,"limit":10}}`,
	} {
		m, err := protocol.Parse([]byte(frame))
		if refused := (*protocol.Error)(nil); errors.As(err, &refused) {
			fmt.Printf("%s\n", protocol.AppendError(nil, refused.Code))
			continue
		}
		fmt.Printf("%s\n", protocol.AppendSubscribed(nil, m.Channel, m.Scope.Raw))
	}
	// Output:
	// {"type":"subscribed","channel":"message","scope":{"col":"conversation_id","value":42}}
	// {"type":"error","code":"invalid_scope"}
}

func ExampleAppendChange() {
	// An event is encoded once, and goes into a frame for every subscription that it concerns.
	event := protocol.AppendEvent(nil, protocol.Event{
		Type: protocol.AfterInsert, Schema: "public", Table: "member",
		PrimaryKey: []byte(`{"id":7}`), Row: []byte(`{"id":7,"conversation_id":42}`),
	})
	for _, scope := range []string{`{"col":"id","value":7}`, `{"col":"conversation_id","value":"42"}`} {
		fmt.Printf("%s\n", protocol.AppendChange(nil, "member", []byte(scope), event))
	}
	// Output:
	// {"type":"change","channel":"member","scope":{"col":"id","value":7},"event":{"type":"afterInsert","schemaName":"public","tableName":"member","primaryKey":{"id":7},"row":{"id":7,"conversation_id":42}}}
	// {"type":"change","channel":"member","scope":{"col":"conversation_id","value":"42"},"event":{"type":"afterInsert","schemaName":"public","tableName":"member","primaryKey":{"id":7},"row":{"id":7,"conversation_id":42}}}
}
