package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A variable that has no effect was meant to have one.
func TestP77VariablesThatNobodyReads(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	for name, want := range map[string]string{
		"REACTIVE_LOGLEVEL":                  "REACTIVE_LOGLEVEL: is no variable that the gateway reads: write REACTIVE_LOG_LEVEL, or unset it",
		"REACTIVE_LISTN":                     "write REACTIVE_LISTEN",
		"REACTIVE_ALLOWED_ORIGIN":            "write REACTIVE_ALLOWED_ORIGINS",
		"REACTIVE_DATABASEURL":               "write REACTIVE_DATABASE_URL",
		"REACTIVE_WIBBLE":                    "REACTIVE_WIBBLE: is no variable that the gateway reads: unset it: reactive-gw --help",
		"REACTIVE_PORT":                      "is no variable",
		"REACTIVE_AUTHENTICATE":              "REACTIVE_AUTHENTICATE: has no effect: authenticate has no variable: write authenticate into the file",
		"REACTIVE_AUTHENTICATE_JWT_JWKS_URL": "write authenticate into the file",
		"REACTIVE_REACTIVE":                  "write reactive into the file",
		"REACTIVE_RESUME_WINDOW":             "write resume into the file",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "c4n4ry")
			_, err := load(t, "slot: orders\n")
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "c4n4ry") {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
}

// Neither what the file names nor what others set for reasons of their own is a mistake.
func TestP77VariablesThatAreNotTheGateways(t *testing.T) {
	for name, value := range map[string]string{
		"DATABASE_URL": "postgres://db.internal/app", "REACTIVE_TOKEN": "x", "REACTIVE_TEST_AGAIN": "1", "REACTIVE_INGEST_TOKEN": "x",
		"REACTIVE_JWT_SECRET": "x", "REACTIVE_HOOK": "x", "REACTIVE_MY_SLOT": "orders", "REACTIVE_OVERRIDDEN": "x",
		// Kubernetes, for a service named reactive-gw, and Docker, for a link named reactive.
		"REACTIVE_GW_SERVICE_HOST": "10.0.0.1", "REACTIVE_GW_SERVICE_PORT": "8080", "REACTIVE_GW_SERVICE_PORT_WS": "8080", "REACTIVE_GW_PORT": "tcp://10.0.0.1:8080",
		"REACTIVE_GW_PORT_8080_TCP": "tcp://10.0.0.1:8080", "REACTIVE_GW_PORT_8080_TCP_ADDR": "10.0.0.1", "REACTIVE_GW_PORT_8080_TCP_PORT": "8080",
		"REACTIVE_PORT": "tcp://172.17.0.2:8080", "REACTIVE_PORT_8080_TCP_PROTO": "tcp",
	} {
		t.Setenv(name, value)
	}
	c, err := load(t, `
slot: ${REACTIVE_MY_SLOT}
publication: ${REACTIVE_OVERRIDDEN}
authenticate: {jwt: {secretEnv: REACTIVE_JWT_SECRET, algorithms: [HS256]}}
ingest: {hook: {path: /ingest, tokenEnv: REACTIVE_HOOK}}
reactive: [{table: typing, source: hook, scopes: [room]}]
`, "--publication", "app")
	if err != nil {
		t.Fatal(err)
	}
	if c.Slot != "orders" || c.Absent() != "" {
		t.Errorf("slot %s, absent %q", c.Slot, c.Absent())
	}
}

// The file that would say what others may see is missing, and the environment says that they are to be let in.
func TestP77TheEnvironmentWithoutItsFile(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	refused := func(t *testing.T, want ...string) {
		t.Helper()
		_, err := load(t, "")
		if err == nil {
			t.Fatal("accepted")
		}
		here, _ := os.Getwd()
		for _, part := range append(want, "other machines reach", filepath.Join(here, "reactive.yaml"), "REACTIVE_CONFIG", "allowAnonymous: true") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error lacks %s: %v", part, err)
			}
		}
	}
	for name, variables := range map[string]map[string]string{
		"as in a container": {"REACTIVE_LISTEN": "0.0.0.0:8080", "REACTIVE_ALLOW_ANONYMOUS": "true"},
		"every interface":   {"REACTIVE_LISTEN": ":8080", "REACTIVE_ALLOW_ANONYMOUS": "true", "REACTIVE_LOG_LEVEL": "debug"},
		"by name":           {"REACTIVE_LISTEN": "gw.internal:8080", "REACTIVE_ALLOW_ANONYMOUS": "true", "REACTIVE_DATABASE_URL": "postgres://db/app"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range variables {
				t.Setenv(name, value)
			}
			refused(t, "REACTIVE_ALLOW_ANONYMOUS, ")
			// With a file, however little it says, somebody has decided.
			if _, err := load(t, "# everything, to everyone\n"); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("on the loopback", func(t *testing.T) {
		t.Setenv("REACTIVE_LISTEN", "127.0.0.1:8081")
		c, err := load(t, "")
		if err != nil {
			t.Fatal(err)
		}
		here, _ := os.Getwd()
		if want := "there is no file " + filepath.Join(here, "reactive.yaml"); c.Absent() != want {
			t.Errorf("absent: %q, want %q", c.Absent(), want)
		}
	})
	t.Run("by flags", func(t *testing.T) {
		c, err := load(t, "", "--listen", "0.0.0.0:8080", "--allow-anonymous")
		if err != nil || c.Absent() == "" {
			t.Errorf("error %v", err)
		}
	})
}

func TestP77AFileOfAnotherName(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	t.Chdir(t.TempDir())
	write(t, "reactive.yml", "slot: orders\n")
	const want = "reactive.yml: is not read: only reactive.yaml is where no file is named: rename it, or write --config reactive.yml"
	if _, err := run(t); err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
	if c, err := run(t, "--config", "reactive.yml"); err != nil || c.Slot != "orders" {
		t.Errorf("error %v", err)
	}
}

// What a program gives that has the gateway in it may be nothing too.
func TestP77NothingInsteadOfAFile(t *testing.T) {
	for text, want := range map[string]string{"": "Options.Config is empty", " \n# later\n": "Options.Config is empty", "slot: orders\n": ""} {
		c, err := Parse("Options.Config", []byte(text), "Options.DatabaseURL", "postgres://db.internal/app")
		if err != nil {
			t.Fatal(err)
		}
		if c.Absent() != want {
			t.Errorf("%q: absent %q", text, c.Absent())
		}
	}
}

// The settings of docker-compose.yml say what is served to whom.
func TestP77ComposeHasAFile(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://chat:chat@postgres:5432/chat?sslmode=disable")
	c, err := run(t, "--slot", "mtbreactive", "--config", filepath.Join("..", "..", "deploy", "compose", "reactive.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !c.AllowAnonymous || len(c.Reactive) != 3 || c.Absent() != "" {
		t.Errorf("got %v", c)
	}
	compose, err := os.ReadFile(filepath.Join("..", "..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(compose); strings.Contains(text, "REACTIVE_") || !strings.Contains(text, "./deploy/compose/reactive.yaml:/etc/reactive-gw/reactive.yaml:ro") {
		t.Error("docker-compose.yml does not give the gateway this file")
	}
}
