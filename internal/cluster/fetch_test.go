package cluster

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ulikunitz/xz"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestFetchedProgramsRunAClusterAndAreKept(t *testing.T) {
	repository := serveArchive(t, archive(t, wrappedPrograms(t)))
	fetch := &Fetch{Repository: repository.URL, CacheDir: filepath.Join(sharedFolder(t), "cache")}
	as, err := serverAccount()
	check(t, "account", err)
	core, logged := observer.New(zap.InfoLevel)

	found, err := fetch.binaries(t.Context(), as, zap.New(core))
	check(t, "fetch", err)
	if logged.FilterMessageSnippet("fetching").Len() != 1 {
		t.Errorf("the log says %v, want a word on what is fetched", logged.All())
	}
	if got := query[int](t, newCluster(t, Options{BinDir: found.dir}), "select 1"); got != 1 {
		t.Errorf("select 1 in a cluster of fetched programs gives %d", got)
	}

	asked := repository.requests.Load()
	_, err = fetch.binaries(t.Context(), as, zap.NewNop())
	check(t, "fetch again", err)
	if repository.requests.Load() != asked {
		t.Error("the programs were fetched twice")
	}
	kept, err := os.ReadDir(fetch.CacheDir)
	check(t, "read cache", err)
	if len(kept) != 1 {
		t.Errorf("the cache has %v, want the programs alone", kept)
	}
}

func TestFailedFetchKeepsNothing(t *testing.T) {
	broken := sharedFolder(t)
	check(t, "write", os.WriteFile(filepath.Join(broken, "initdb"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	damaged := serveArchive(t, archive(t, wrappedPrograms(t)))
	damaged.checksum = strings.Repeat("0", 64)
	for name, repository := range map[string]*repository{
		"no such version":   serveArchive(t, nil),
		"damaged":           damaged,
		"useless programs":  serveArchive(t, archive(t, broken)),
		"not even a format": serveArchive(t, []byte("<html>")),
	} {
		t.Run(name, func(t *testing.T) {
			fetch := &Fetch{Repository: repository.URL, CacheDir: filepath.Join(sharedFolder(t), "cache")}
			as, err := serverAccount()
			check(t, "account", err)
			if found, err := fetch.binaries(t.Context(), as, zap.NewNop()); err == nil {
				t.Errorf("fetched %v, want an error", found)
			}
			expectEmpty(t, fetch.CacheDir)
		})
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	stalled := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-release
	}))
	defer stalled.Close()
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	fetch := &Fetch{Repository: stalled.URL, CacheDir: t.TempDir()}
	if _, err := fetch.binaries(ctx, nil, zap.NewNop()); !errors.Is(err, context.Canceled) {
		t.Errorf("fetch with an ended context: %v", err)
	}
}

// repository serves one archive for every version and machine, with its checksum, as Maven repositories do.
type repository struct {
	*httptest.Server
	checksum string
	requests atomic.Int32
}

func serveArchive(t *testing.T, jar []byte) *repository {
	t.Helper()
	sum := sha256.Sum256(jar)
	r := &repository{checksum: hex.EncodeToString(sum[:])}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		switch {
		case jar == nil:
			http.NotFound(w, req)
		case strings.HasSuffix(req.URL.Path, ".sha256"):
			_, _ = w.Write([]byte(r.checksum))
		default:
			_, _ = w.Write(jar)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// archive packs the files of a folder as bin/ in the way the library expects: a zip with a tar.xz in it.
func archive(t *testing.T, dir string) []byte {
	t.Helper()
	var compressed bytes.Buffer
	compressor, err := xz.NewWriter(&compressed)
	check(t, "compress", err)
	files := tar.NewWriter(compressor)
	entries, err := os.ReadDir(dir)
	check(t, "read folder", err)
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		check(t, "read file", err)
		check(t, "pack", files.WriteHeader(&tar.Header{Name: "bin/" + entry.Name(), Mode: 0o755, Size: int64(len(content))}))
		_, err = files.Write(content)
		check(t, "pack", err)
	}
	check(t, "pack", errors.Join(files.Close(), compressor.Close()))

	var jar bytes.Buffer
	zipped := zip.NewWriter(&jar)
	w, err := zipped.Create("postgres.txz")
	check(t, "zip", err)
	_, err = w.Write(compressed.Bytes())
	check(t, "zip", errors.Join(err, zipped.Close()))
	return jar.Bytes()
}
