package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// Options says what cluster to make. The zero value is a cluster with PostgreSQL's default settings in a temporary
// folder, run with the programs found on the machine.
type Options struct {
	// BinDir is the folder with the programs initdb and postgres. Empty: the first that works of those in PATH and in
	// the places where distributions put them, newest version first.
	BinDir string

	// Dir is the folder of the cluster. It is made where it does not exist, reused where it does, and never removed.
	// Empty: a temporary folder, which Close removes.
	Dir string

	// Password gives the superuser of a new cluster a random password. Without one, every user of the machine can become
	// superuser, and through that the user that the server runs as.
	Password bool

	// Settings are lines of postgresql.conf, by name (PostgreSQL manual, 20.1.2). They hold for every start of the
	// cluster; ALTER SYSTEM overrides them. The addresses and the port are the package's own.
	Settings map[string]string

	// Fetch allows the download of PostgreSQL where BinDir is empty and no programs are found. Nil: refused with an
	// error.
	Fetch *Fetch

	// Log receives what the cluster does; nil for silence. The server's own log is read with Cluster.Log.
	Log *zap.Logger
}

// configFile renders settings as postgresql.conf. The backslash escapes within quotes, which the manual does not say:
// the source is GUC_scanstr in PostgreSQL's guc-file.l.
func configFile(settings map[string]string) ([]byte, error) {
	name := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.$]*$`)
	value := strings.NewReplacer(`\`, `\\`, `'`, `''`)
	lines := []string{"# Written at every start. For settings of your own use ALTER SYSTEM."}
	for key, text := range settings {
		if !name.MatchString(key) || strings.ContainsAny(text, "\n\x00") {
			return nil, fmt.Errorf("setting %q = %q: neither a name nor a value may hold what ends a line", key, text)
		}
		lines = append(lines, fmt.Sprintf("%s = '%s'", key, value.Replace(text)))
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}
