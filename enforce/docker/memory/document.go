package memory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/assay-dev/assay/image"
)

const (
	version    = 1 // of the document: another one is not read
	maxSigners = 8 // of an entry, for people
)

// document is the file.
type document struct {
	Version int       `json:"version"`
	Seen    time.Time `json:"seen"` // when it was written
	Entries []entry   `json:"entries"`
}

func encode(d document) ([]byte, error) {
	d.Version = version
	return encodeFile(d)
}

// encodeFile writes a file of the folder, unless it would be too long to be read.
func encodeFile(document any) ([]byte, error) {
	content, err := json.Marshal(document)
	if err == nil && len(content) > MaxFile {
		err = fmt.Errorf("%d bytes, at most %d can be kept", len(content), MaxFile)
	}
	return content, err
}

// decodeFile reads a file of the folder, which has nothing in it that into has not.
func decodeFile(content []byte, into any) error {
	in := json.NewDecoder(bytes.NewReader(content))
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil {
		return errors.New("is no JSON of Assay's")
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind it")
	}
	return nil
}

// decode reads a document. Whatever in it Assay would not have written makes all of it unusable: nobody knows what happened to the rest.
func decode(content []byte) (document, error) {
	var d document
	if err := decodeFile(content, &d); err != nil {
		return document{}, err
	}
	switch {
	case d.Version != version:
		return document{}, fmt.Errorf("has the version %d, and %d is read", d.Version, version)
	case len(d.Entries) > MaxEntries:
		return document{}, fmt.Errorf("has %d entries, and at most %d are kept", len(d.Entries), MaxEntries)
	case d.Seen.IsZero():
		return document{}, errors.New("does not say when it was written")
	}
	known := make(map[key]bool, len(d.Entries))
	for i := range d.Entries {
		e := &d.Entries[i]
		if err := e.check(); err != nil {
			return document{}, fmt.Errorf("entries[%d]: %w", i, err)
		}
		if known[e.key()] {
			return document{}, fmt.Errorf("entries[%d]: is there twice", i)
		}
		known[e.key()] = true
	}
	return d, nil
}

// check refuses an entry that is not as Assay writes it.
func (e *entry) check() error {
	ref, err := image.Parse(e.Name)
	switch {
	case err != nil || ref.String() != e.Name:
		return errors.New("its name is not in canonical form")
	case e.Content.IsZero():
		return errors.New("has no content")
	case e.Basis == "" || len(e.Basis) > maxText:
		return errors.New("has no basis")
	case e.Decided.IsZero():
		return errors.New("does not say when it was decided")
	}
	return nil
}

// read returns the content of the file, if it and its folder are nobody else's to write.
func read(folder, name string) ([]byte, error) {
	for _, path := range []string{folder, name} {
		info, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		if err := private(info); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, MaxFile+1))
	if err == nil && len(content) > MaxFile {
		err = fmt.Errorf("larger than %d bytes", MaxFile)
	}
	return content, err
}

// private refuses what somebody else could have written. Where permissions mean nothing, the folder's place has to do.
func private(info os.FileInfo) error {
	switch {
	case !info.IsDir() && !info.Mode().IsRegular():
		return errors.New("is no file")
	case runtime.GOOS == "windows":
		return nil
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write to it (mode %04o); take that away", info.Mode().Perm())
	}
	return owned(info)
}
