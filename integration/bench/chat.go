package main

import "fmt"

// messagesByConversation is the configuration of a gateway that serves the messages, and waits for the load's one client,
// which has 10,000 connections to read from.
const messagesByConversation = `
queueBytes: 64MiB
writeTimeout: 60s
reactive:
  - table: message
    scopes: [conversation_id]
`

func subscribeTo(conversation int) string {
	return fmt.Sprintf(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":%d}}`, conversation)
}
