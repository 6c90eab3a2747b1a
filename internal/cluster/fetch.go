package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"go.uber.org/zap"
)

// Fetch says where PostgreSQL's programs come from on a machine that has none. The zero value fetches the newest
// version that the library embedded-postgres knows from its own repository. Fetched once, they are kept.
type Fetch struct {
	// Repository is the base URL of a mirror; empty for the library's own.
	Repository string
	// CacheDir is the folder where the programs are kept. Empty: reactive-gw in the user's cache folder, and for root
	// /var/cache/reactive-gw, since other users, PostgreSQL's account among them, may not enter root's own.
	CacheDir string
}

// binaries gives the programs from the cache folder, after filling it if need be.
func (f *Fetch) binaries(ctx context.Context, as *account, log *zap.Logger) (binaries, error) {
	cache, err := f.cacheDir(as)
	if err != nil {
		return binaries{}, fmt.Errorf("find a cache folder for PostgreSQL's programs: %w", err)
	}
	version := embeddedpostgres.V18
	kept := filepath.Join(cache, fmt.Sprintf("postgresql-%s-%s-%s", version, runtime.GOOS, runtime.GOARCH))
	bin := filepath.Join(kept, "bin")
	if _, err := os.Stat(bin); err == nil {
		return inspect(ctx, bin, as)
	}
	log.Info("no PostgreSQL found on this machine: fetching it, some 30 MB, once",
		zap.String("version", string(version)), zap.String("into", kept))

	// The library cannot be interrupted. When ctx ends first, the fetch is left to end by itself or with the process.
	done := make(chan error, 1)
	go func() { done <- f.fill(context.WithoutCancel(ctx), version, cache, kept, as) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return binaries{}, fmt.Errorf("fetch PostgreSQL %s (or install it, or name the folder that has it): %w", version, err)
	}
	log.Info("PostgreSQL is fetched", zap.String("programs", bin))
	return inspect(ctx, bin, as)
}

// fill fetches the programs into the folder kept, which appears only when they are whole and proven to work. Several
// processes may do so at once: the first one's result is kept.
func (f *Fetch) fill(ctx context.Context, version embeddedpostgres.PostgresVersion, cache, kept string, as *account) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	staging, err := os.MkdirTemp(cache, "fetching-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staging) }() // only a cache

	programs := filepath.Join(staging, "programs")
	fetched := f.run(version, staging, programs)
	if err := openToAll(staging); err != nil {
		return errors.Join(fetched, err)
	}
	if err := prove(ctx, filepath.Join(programs, "bin"), staging, as); err != nil {
		return errors.Join(fetched, err)
	}
	if err := os.Rename(programs, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// run fetches the programs into a folder. The library does that as the first step of starting a server, and only then;
// the server is of no interest here. Root always gets an error, because the library runs initdb as the user we are:
// whether the programs arrived is told by using them.
func (f *Fetch) run(version embeddedpostgres.PostgresVersion, staging, programs string) error {
	port, err := choosePort()
	if err != nil {
		return err
	}
	config := embeddedpostgres.DefaultConfig().
		Version(version).
		CachePath(filepath.Join(staging, "archive")).
		RuntimePath(filepath.Join(staging, "runtime")).
		DataPath(filepath.Join(staging, "data")).
		BinariesPath(programs).
		Port(uint32(port)).
		Logger(io.Discard)
	if f.Repository != "" {
		config = config.BinaryRepositoryURL(f.Repository)
	}
	server := embeddedpostgres.NewDatabase(config)
	if err := server.Start(); err != nil {
		return err
	}
	return server.Stop()
}

// prove makes a cluster with the programs, which takes all of them and most of the files beside them.
func prove(ctx context.Context, bin, staging string, as *account) error {
	found, err := inspect(ctx, bin, as)
	if err != nil {
		return err
	}
	proof, err := makeFolder(filepath.Join(staging, "proof"), as)
	if err != nil {
		return err
	}
	return errors.Join(found.initdb(ctx, proof.path, "", as), proof.close())
}

// openToAll lets every user read what is under dir, and run what its owner may, whatever the umask was.
func openToAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		owner := info.Mode().Perm() & 0o700
		return os.Chmod(path, info.Mode().Perm()|owner>>3&0o050|owner>>6&0o005)
	})
}

func (f *Fetch) cacheDir(as *account) (string, error) {
	if f.CacheDir != "" {
		return filepath.Abs(f.CacheDir)
	}
	if as != nil {
		return "/var/cache/reactive-gw", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "reactive-gw"), err
}
