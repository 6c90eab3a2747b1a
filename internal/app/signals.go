package app

import (
	"os"
	"os/signal"
)

// outlive keeps the signals from ending the process, for good. A gateway has more to do than its terminal or the reader of its log,
// whose end is SIGHUP or SIGPIPE: its clients would all come back at once. What is written to nobody is lost then, and nothing else.
//
// They are taken and dropped rather than ignored: programs that are started would inherit that.
func outlive(signals ...os.Signal) { signal.Notify(make(chan os.Signal, 1), signals...) }
