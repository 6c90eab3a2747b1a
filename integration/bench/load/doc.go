// Package load is the benchmark's client: thousands of WebSocket connections in one goroutine over epoll, cheap enough
// that what is measured is the server. It counts messages by walking the headers of frames, and looks into those of a few
// connections only. It is for Linux and the loopback.
package load
