// A hub on Node's ws: one string is sent to every subscriber of a topic. What it is told, and how, is in ../peer.go.
import { createServer } from "node:http"
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises"
import { WebSocketServer } from "ws"

// How much may wait in a socket before the next message is held back.
const ROOM = 1 << 20

const topics = new Map()
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })

function message(size) {
  const before = `{"type":"change","body":"`, after = `"}`
  return before + "x".repeat(Math.max(0, size - before.length - after.length)) + after
}

async function publish({ messages, topics: count, size, rate }) {
  const text = message(size)
  const began = performance.now()
  for (let n = 0; n < messages; n++) {
    if (rate > 0) await sleep(Math.max(0, began + (n * 1000) / rate - performance.now()))
    let full = false
    const subscribers = topics.get(n % count) ?? []
    for (const socket of subscribers) {
      socket.send(text)
      full ||= socket.bufferedAmount > ROOM
    }
    if (full) while (subscribers.some((socket) => socket.bufferedAmount > ROOM / 2)) await sleep(1)
    else if (n % 16 === 15) await turn()
  }
}

const server = createServer(async (request, response) => {
  const { searchParams } = new URL(request.url, "http://localhost")
  await publish(Object.fromEntries([...searchParams].map(([name, value]) => [name, Number(value)])))
  response.end()
})

server.on("upgrade", (request, socket, head) => {
  const topic = Number(new URL(request.url, "http://localhost").searchParams.get("topic"))
  sockets.handleUpgrade(request, socket, head, (client) => {
    if (!topics.has(topic)) topics.set(topic, [])
    topics.get(topic).push(client)
    client.send(`{"type":"subscribed"}`)
  })
})

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => console.log(`127.0.0.1:${server.address().port}`))
