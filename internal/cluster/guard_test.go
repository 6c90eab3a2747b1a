package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// makerFolder in the environment makes this test binary a process that makes a cluster there and does no more.
const makerFolder = "REACTIVE_TEST_MAKER_FOLDER"

func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv(makerFolder); ok {
		c, err := New(context.Background(), Options{BinDir: binDir(), Dir: dir})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(c.URL("postgres"))
		fmt.Println(c.folder.path)
		select {}
	}
	os.Exit(m.Run())
}

func TestNothingOutlivesAKilledMaker(t *testing.T) {
	t.Run("temporary folder", func(t *testing.T) {
		url, dir, kill := maker(t, "")
		kill()
		waitUntil(t, "the server is gone", func(ctx context.Context) bool { return !answers(ctx, url) })
		waitUntil(t, "the folder is gone", func(context.Context) bool {
			_, err := os.Stat(dir)
			return os.IsNotExist(err)
		})
	})
	t.Run("kept folder", func(t *testing.T) {
		url, dir, kill := maker(t, filepath.Join(sharedFolder(t), "kept"))
		kill()
		waitUntil(t, "the server is gone", func(ctx context.Context) bool { return !answers(ctx, url) })
		waitUntil(t, "the server has shut down in order", func(context.Context) bool {
			_, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid"))
			return os.IsNotExist(err)
		})
		if got := query[int](t, newCluster(t, Options{Dir: dir}), "select 1"); got != 1 {
			t.Errorf("select 1 in the kept cluster gives %d", got)
		}
	})
}

// maker starts a process that makes a cluster. kill ends it with SIGKILL.
func maker(t *testing.T, dir string) (url, folder string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	check(t, "find this test", err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), makerFolder+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, "pipe", err)
	check(t, "start the maker", cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for _, line := range []*string{&url, &folder} {
		if !lines.Scan() {
			t.Fatal("the maker ended before it had made its cluster")
		}
		*line = lines.Text()
	}
	if !answers(t.Context(), url) {
		t.Fatal("the maker's server does not answer")
	}
	return url, folder, kill
}

func answers(ctx context.Context, url string) bool {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// waitUntil asks again and again until the condition holds; a minute is the end of patience, not what it should take.
func waitUntil(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !holds(ctx) {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
