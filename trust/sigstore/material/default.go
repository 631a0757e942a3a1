package material

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"google.golang.org/protobuf/proto"
)

// File is a file that somebody else read.
type File struct {
	Name    string // for messages
	Content []byte // empty: not given
}

// Default is what the installation gives, as cosign finds it in its environment. For each part (Fulcio, Rekor, certificate transparency,
// time stamps) the first that gives it counts: the files, the cache of cosign initialize, the public good instance. What is given and
// cannot be used is an error.
type Default struct {
	RootFile       File   // SIGSTORE_ROOT_FILE: certificates of Fulcio in PEM, or a trusted_root.json, which replaces everything
	RekorKeys      File   // SIGSTORE_REKOR_PUBLIC_KEY
	CTLogKeys      File   // SIGSTORE_CT_LOG_PUBLIC_KEY_FILE
	TimestampChain File   // SIGSTORE_TSA_CERTIFICATE_FILE
	Folder         string // of the cache of cosign initialize: TUF_ROOT, else .sigstore/root at home; empty: none
	Mirror         string // TUF_MIRROR
	FirstRoot      File   // TUF_ROOT_JSON
}

// installed is what an installation gives, after it was checked.
type installed struct {
	name   string
	whole  Source                      // replaces everything; or nil
	parts  *prototrustroot.TrustedRoot // given one by one; or nil
	folder string
	mirror string // of TUF; empty: the public good instance
	first  []byte // root.json that is trusted; nil: the one in the folder, or that of the public good instance
	older  *Root  // of a cache in the older layout; or nil
}

// read checks what is given.
func (d *Default) read() (*installed, error) {
	i := &installed{folder: d.Folder, first: d.FirstRoot.Content}
	if json := bytes.TrimSpace(d.RootFile.Content); len(json) > 0 && json[0] == '{' {
		var err error
		i.whole, err = Given(d.RootFile.Name, json)
		return i, err
	}
	if err := d.readParts(i); err != nil {
		return nil, err
	}
	if i.complete() {
		return i, nil
	}
	if d.FirstRoot.Name != "" {
		if err := checkFirstRoot(d.FirstRoot.Name, d.FirstRoot.Content); err != nil {
			return nil, err
		}
	}
	return i, d.readMirror(i)
}

// publicGood reports whether everything comes from the public good instance.
func (i *installed) publicGood() bool {
	return i.whole == nil && i.parts == nil && i.older == nil && i.mirror == ""
}

// readParts reads the files that stand for one part each.
func (d *Default) readParts(i *installed) error {
	var names []string
	for _, part := range []struct {
		file File
		as   func(content []byte) Parts
	}{
		{d.RootFile, func(c []byte) Parts { return Parts{Fulcio: c} }},
		{d.RekorKeys, func(c []byte) Parts { return Parts{RekorKeys: c} }},
		{d.CTLogKeys, func(c []byte) Parts { return Parts{CTLogKeys: c} }},
		{d.TimestampChain, func(c []byte) Parts { return Parts{TimestampCertificates: [][]byte{c}} }},
	} {
		if part.file.Name == "" {
			continue
		}
		p := part.as(part.file.Content)
		if len(bytes.TrimSpace(part.file.Content)) == 0 {
			return fmt.Errorf("%s: is empty", part.file.Name)
		}
		pb, err := p.wire()
		if err == nil {
			_, err = newRoot(pb)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.file.Name, err)
		}
		if i.parts == nil {
			i.parts = &prototrustroot.TrustedRoot{MediaType: root.TrustedRootMediaType01}
		}
		proto.Merge(i.parts, &prototrustroot.TrustedRoot{
			CertificateAuthorities: pb.GetCertificateAuthorities(), Tlogs: pb.GetTlogs(),
			Ctlogs: pb.GetCtlogs(), TimestampAuthorities: pb.GetTimestampAuthorities(),
		})
		names = append(names, part.file.Name)
	}
	i.name = strings.Join(names, ", ")
	return nil
}

// complete reports whether nothing is missing that something else could give.
func (i *installed) complete() bool {
	p := i.parts
	return len(p.GetCertificateAuthorities()) > 0 && len(p.GetTlogs()) > 0 && len(p.GetCtlogs()) > 0 && len(p.GetTimestampAuthorities()) > 0
}

// readMirror finds out which repository the installation's material comes from.
func (d *Default) readMirror(i *installed) error {
	var err error
	switch {
	case d.Mirror != "":
		if i.mirror, err = checkMirror(d.Mirror); err != nil {
			return fmt.Errorf("TUF_MIRROR: %w", err)
		}
	case d.Folder != "":
		if i.mirror, err = remoteOf(d.Folder); err != nil {
			return fmt.Errorf("%w; %s", err, mendCache(err))
		}
	}
	if i.mirror == PublicGoodMirror {
		i.mirror = ""
		return nil
	}
	if d.Mirror == "" && d.Folder != "" && !hasMetadata(d.Folder, i.mirror) {
		if i.older, err = olderLayout(d.Folder); err != nil {
			return fmt.Errorf("%s: %w; %s", d.Folder, err, mendCache(err))
		}
	}
	if i.mirror == "" || i.older != nil || len(i.first) > 0 {
		return nil
	}
	if i.first, err = firstRootIn(d.Folder, i.mirror); err != nil {
		return fmt.Errorf("TUF repository %s: the first root.json that is trusted: %w; set TUF_ROOT_JSON, or run assay trust init", i.mirror, err)
	}
	return nil
}

// firstRootIn reads the first root.json that is trusted from the cache of cosign initialize.
func firstRootIn(cache, mirror string) ([]byte, error) {
	if cache == "" {
		return nil, errors.New("is not given, and there is no cache") // an empty path is the working folder, which proves nothing
	}
	name := filepath.Join(cache, folderName(mirror), "root.json")
	content, err := readPath(name, maxRootFile)
	if err != nil {
		return nil, err
	}
	if err := firstRootFault(content); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return content, nil
}

// hasMetadata reports whether a cache has a mirror's metadata in the current layout.
func hasMetadata(cache, mirror string) bool {
	if mirror == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(cache, folderName(mirror), "root.json"))
	return err == nil
}

// remoteOf returns the mirror that the cache of cosign initialize is for; empty if it does not say.
func remoteOf(cache string) (string, error) {
	name := filepath.Join(cache, "remote.json")
	content, err := readPath(name, maxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var remote struct {
		Mirror string `json:"mirror"`
	}
	if err := json.Unmarshal(content, &remote); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if remote.Mirror == "" {
		return "", fmt.Errorf("%s: names no mirror", name)
	}
	mirror, err := checkMirror(remote.Mirror)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return mirror, nil
}

// olderLayout reads the targets of a cache that older versions of cosign wrote: tuf.db, which only their own library reads, and files
// with one certificate or key each. It returns nil if there is no such cache.
func olderLayout(cache string) (*Root, error) {
	if _, err := os.Stat(filepath.Join(cache, "tuf.db")); err != nil {
		return nil, nil //nolint:nilerr // nobody was there
	}
	entries, err := os.ReadDir(filepath.Join(cache, "targets"))
	if err != nil {
		return nil, err
	}
	if len(entries) > maxMembers {
		return nil, fmt.Errorf("more than %d targets", maxMembers)
	}
	var p Parts
	var stamps []byte
	for _, e := range entries {
		into := map[string]*[]byte{"fulcio": &p.Fulcio, "rekor": &p.RekorKeys, "ctfe": &p.CTLogKeys, "tsa": &stamps}[usage(e.Name())]
		if into == nil && e.Name() != target || e.IsDir() {
			continue
		}
		content, err := readPath(filepath.Join(cache, "targets", e.Name()), maxTrustedRoot)
		if err != nil {
			return nil, err
		}
		if e.Name() == target {
			return parseRoot(content)
		}
		*into = append(append(*into, content...), '\n')
	}
	if len(stamps) > 0 {
		p.TimestampCertificates = [][]byte{stamps}
	}
	pb, err := p.wire()
	if err != nil {
		return nil, err
	}
	return newRoot(pb)
}

// mendCache is the next step where the cache cannot be read.
func mendCache(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "let this user read it, or name another folder by TUF_ROOT"
	}
	return "assay trust init writes it anew"
}

const olderWarning = "is a cache in the older layout of cosign, which cannot be proved here and does not age; assay trust init writes it anew"

// usage is what a target of the older layout is for, by its name.
func usage(name string) string {
	stem, _, _ := strings.Cut(name, ".")
	stem, _, _ = strings.Cut(stem, "_")
	return strings.ToLower(stem)
}

// Default returns what the installation gives, else the public good instance.
func (k *Keeper) Default(maxStale time.Duration) (Source, error) {
	i := k.installed
	switch {
	case i.whole != nil:
		return i.whole, nil
	case i.complete():
		return newCombined(i, nil)
	}
	var base Source
	switch {
	case i.older != nil:
		base = &given{name: i.folder, root: i.older, warning: olderWarning}
	case i.mirror != "":
		o := origin{name: i.mirror, first: i.first, own: k.shared(i.mirror), other: i.cache(i.mirror), renew: renewDefault}
		base = k.aged(k.mirror(o), maxStale)
	case i.parts != nil:
		// Who gives parts of his own does not expect the public instance to be asked for the others.
		o := k.publicGood(nil)
		o.other, o.renew = i.cache(PublicGoodMirror), "nothing is fetched where files give parts; give a file for each part, or a whole trusted_root.json"
		base = k.aged(newMirror(k, o), maxStale)
	default:
		base = k.PublicGood(maxStale)
	}
	if i.parts == nil {
		return base, nil
	}
	return newCombined(i, base)
}

// cache returns the copy of a mirror in the cache of cosign initialize.
func (i *installed) cache(mirror string) *folder {
	if i.folder == "" {
		return nil
	}
	return sharedFolder(i.folder, mirror)
}

// readPath reads a file, up to a limit.
func readPath(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := readUpTo(file, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return content, nil
}
