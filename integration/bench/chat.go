package main

import (
	"context"
	"fmt"
)

// messagesByConversation is the configuration of a gateway that serves the messages, and waits for the load's one client,
// which has 10,000 connections to read from.
const messagesByConversation = `
queueBytes: 64MiB
writeTimeout: 60s
reactive:
  - table: message
    scopes: [conversation_id]
`

func subscribeTo(conversation int) string { return subscribeToIn("message", conversation) }

func subscribeToIn(channel string, conversation int) string {
	return fmt.Sprintf(`{"type":"subscribe","channel":%q,"scope":{"col":"conversation_id","value":%d}}`, channel, conversation)
}

// writeTexts is a procedure that commits as it goes: messages of about 300 bytes, for the readers of conversation 0, in a table
// like message.
const writeTexts = `
create procedure write_texts(target regclass, messages int, per_transaction int) language plpgsql as $$
begin
	for i in 1 .. messages / per_transaction loop
		execute format('insert into %s (conversation_id, author_id, body)
			select 0, n %% 300, md5(n::text) || md5((n + $1)::text) || ''xxxxxxxxxxx'' from generate_series(1, $2) n', target)
		using i, per_transaction;
		commit;
	end loop;
end $$`

// callWriteTexts sends them in transactions of a hundred.
func (db *database) callWriteTexts(target string, messages int) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := db.Exec(ctx, fmt.Sprintf("call write_texts('%s', %d, 100)", target, messages))
		return err
	}
}

func unsubscribeFrom(conversation int) string {
	return fmt.Sprintf(`{"type":"unsubscribe","channel":"message","scope":{"col":"conversation_id","value":%d}}`, conversation)
}
