package cdc

import (
	"cmp"
	"fmt"
	"os"
)

// Spill says how much memory the transactions that an Assembler gathers may take, and where they go beyond that.
type Spill struct {
	// Bytes bounds all of them together, give or take a segment for each and the largest change. Past it the largest one
	// moves to disk and stays there. 0 is no bound.
	Bytes int
	// Dir is the folder of the files, one for each transaction that moved; empty is the system's for temporary files.
	Dir string
}

// SpillError says that a transaction could not be moved to disk. It is lost from here, and nothing else is: nothing of it
// was handed on or acknowledged, so that its source can be asked for it again.
type SpillError struct {
	Dir string
	Err error
}

func (e *SpillError) Error() string {
	return fmt.Sprintf("spill transaction to %s: %v: make room there, or spill to another folder", e.Dir, e.Err)
}

func (e *SpillError) Unwrap() error { return e.Err }

// spillFile is what a transaction has on disk. The file has no name: it is gone with the last one who can read it, also
// after a crash. One that nobody has a hold on any more is closed by the garbage collector.
type spillFile struct {
	file *os.File
	end  int64
}

func newSpillFile(dir string) (*spillFile, error) {
	file, err := os.CreateTemp(dir, "reactive-gw-*.spill")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, err
	}
	return &spillFile{file: file}, nil
}

// append writes b behind what is there and returns its place.
func (f *spillFile) append(b []byte) (at int64, err error) {
	if _, err := f.file.WriteAt(b, f.end); err != nil {
		return 0, err
	}
	at = f.end
	f.end += int64(len(b))
	return at, nil
}

// read may be called from any goroutine.
func (f *spillFile) read(at int64, size int) ([]byte, error) {
	b := make([]byte, size)
	if _, err := f.file.ReadAt(b, at); err != nil {
		return nil, err
	}
	return b, nil
}

// size is what is there, 0 of a file that is nil.
func (f *spillFile) size() int64 {
	if f == nil {
		return 0
	}
	return f.end
}

func (f *spillFile) close() {
	if f != nil {
		_ = f.file.Close() // nobody will read it
	}
}

// Check finds out whether there is a place to spill to, before it is needed. The error is a *SpillError.
func (s *Spill) Check() error {
	disk, err := newSpillFile(s.Dir)
	if err == nil {
		_, err = disk.append(make([]byte, segmentSize))
		disk.close()
	}
	if err != nil {
		return s.failed(err)
	}
	return nil
}

func (s *Spill) failed(err error) error {
	return &SpillError{Dir: cmp.Or(s.Dir, os.TempDir()), Err: err}
}
