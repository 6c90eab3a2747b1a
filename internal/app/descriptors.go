package app

import (
	"fmt"
	"math"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// descriptors is how the file descriptors of the process are shared out. Each client takes one. What the gateway needs for itself
// is kept from them: without a connection to the database, or for operators, nobody is served.
type descriptors struct {
	limit int // that the process may have; 0 where the system does not say
	kept  int // for the database, operators, services that are asked, and files
	// connections is how many clients' connections there may be, those included that are not upgraded yet or are told to go;
	// 0 is no bound. clients is how many are served, and wanted is maxConnections.
	connections, clients, wanted int
}

const (
	// keptFiles are the runtime's and the system's, the listeners, the log, and files of transactions in progress.
	keptFiles = 32
	// keptOperators are connections to the operators' address.
	keptOperators = 32
	// keptDatabase are connections to the database besides wal.Connections: of the log, those that are tried, and to spare.
	keptDatabase = 3
	// farewells is the most room for connections that are not upgraded yet, or that only hear why they are refused.
	farewells = 256
)

// countDescriptors raises the limit as far as the process may, and shares it out.
func countDescriptors(cfg *config.Config) descriptors {
	return shareDescriptors(raiseDescriptors(), keptDescriptors(cfg), cfg.MaxConnections)
}

func keptDescriptors(cfg *config.Config) int {
	kept := keptFiles + keptOperators + keptDatabase + wal.Connections(cfg.DatabasePool)
	if cfg.Authenticate != nil && cfg.Authenticate.Webhook != nil {
		kept += auth.MaxRequests
	}
	for _, entry := range cfg.Reactive {
		if entry.Authorize != nil && entry.Authorize.Webhook != "" {
			kept += auth.MaxRequests
		}
	}
	return kept
}

func shareDescriptors(limit, kept, wanted int) descriptors {
	d := descriptors{limit: limit, kept: kept, clients: wanted, wanted: wanted}
	if limit == 0 {
		return d
	}
	d.kept = min(kept, limit/2) // with so few something else goes wrong, but clients get in
	d.connections = limit - d.kept
	room := max(d.connections-min(farewells, d.connections/8), 1)
	d.clients = min(wanted, room)
	return d
}

// short tells whether fewer clients get in than the configuration says.
func (d descriptors) short() bool { return d.clients < d.wanted }

func (d descriptors) conditions() []condition {
	if !d.short() {
		return nil
	}
	return []condition{{"few file descriptors", d.String(), d.remedy()}}
}

func (d descriptors) String() string {
	return fmt.Sprintf("the process may have %d descriptors open, and %d of them are kept for the database, operators and files: %d clients get in, and not maxConnections, %d",
		d.limit, d.kept, d.clients, d.wanted)
}

func (d descriptors) remedy() string {
	needed := min(d.kept+d.wanted+farewells, math.MaxInt32)
	return fmt.Sprintf("raise the hard limit to %d (systemd: LimitNOFILE=%d; containers: --ulimit nofile=%d; a shell: ulimit -Hn), or write maxConnections: %d",
		needed, needed, needed, d.clients)
}
