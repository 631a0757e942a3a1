package certificate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust"
)

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	b, err := packGzip(content)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tarOf writes a tar with the given headers; a regular file's content is file.
func tarOf(t testing.TB, file string, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(file))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func manyEntries(t testing.TB, file string, n int) []byte {
	t.Helper()
	headers := []tar.Header{{Typeflag: tar.TypeReg, Name: "image.crt", Mode: 0o644}}
	for i := range n - 1 {
		headers = append(headers, tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%d.crt", i), Mode: 0o644})
	}
	return tarOf(t, file, headers...)
}

func TestUnpack(t *testing.T) {
	file := pemOf(newCA(t, nil).leaf(t, byName(app)))
	regular := tar.Header{Typeflag: tar.TypeReg, Name: "image.crt", Mode: 0o644}
	plain := tarOf(t, file, regular)
	truncated := gzipped(t, plain)
	damaged := bytes.Clone(truncated)
	damaged[len(damaged)-5] ^= 1 // in the checksum
	for name, c := range map[string]struct {
		layer []byte
		want  string // part of the error, "" for none
	}{
		"gzip":                            {gzipped(t, plain), ""},
		"plain tar":                       {plain, ""},
		"another mode and name":           {tarOf(t, file, tar.Header{Typeflag: tar.TypeReg, Name: "./x.pem", Mode: 0o400, Uid: 7}), ""},
		"padded with zeros":               {gzipped(t, append(bytes.Clone(plain), make([]byte, 20480)...)), ""},
		"nothing":                         {nil, "tar is empty"},
		"an empty tar":                    {tarOf(t, ""), "tar is empty"},
		"no tar":                          {[]byte(strings.Repeat("x", 1024)), "tar:"},
		"a cut tar":                       {plain[:700], "tar:"},
		"a cut gzip":                      {truncated[:len(truncated)-4], "unexpected EOF"},
		"a wrong checksum":                {damaged, "gzip: invalid checksum"},
		"bytes behind the gzip":           {append(bytes.Clone(truncated), strings.Repeat("more", 10)...), "gzip: invalid header"},
		"bytes behind the tar":            {append(bytes.Clone(plain), bytes.Repeat([]byte("x"), 512)...), "behind the end"},
		"a tar behind the tar":            {append(bytes.Clone(plain), plain...), "behind the end"},
		"DIA-37 a file after":             {tarOf(t, file, regular, tar.Header{Typeflag: tar.TypeReg, Name: "b"}), `second entry "b"`},
		"DIA-37 a directory after":        {tarOf(t, file, regular, tar.Header{Typeflag: tar.TypeDir, Name: "b/"}), `second entry "b/"`},
		"DIA-36 endless entries":          {gzipped(t, manyEntries(t, "", 2000)), "second entry"},
		"a directory":                     {tarOf(t, "", tar.Header{Typeflag: tar.TypeDir, Name: "a/"}), "is a directory, a link or a device"},
		"a symbolic link":                 {tarOf(t, "", tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc/ssl/cert.pem"}), "is a directory, a link or a device"},
		"a hard link":                     {tarOf(t, "", tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}), "is a directory, a link or a device"},
		"a device":                        {tarOf(t, "", tar.Header{Typeflag: tar.TypeChar, Name: "a"}), "is a directory, a link or a device"},
		"a pipe":                          {tarOf(t, "", tar.Header{Typeflag: tar.TypeFifo, Name: "a"}), "is a directory, a link or a device"},
		"not at the root":                 {tarOf(t, file, tar.Header{Typeflag: tar.TypeReg, Name: "a/image.crt"}), "root of the tar"},
		"outside the root":                {tarOf(t, file, tar.Header{Typeflag: tar.TypeReg, Name: "../image.crt"}), "root of the tar"},
		"T44 a file over the limit":       {gzipped(t, tarOf(t, strings.Repeat("\n", maxFile+1), regular)), `"image.crt" has 1048577 bytes`},
		"T44 a sparse file":               {testdata(t, "sparse.tar"), `"image.crt" has 8589934592 bytes`},
		"DIA-36 T44 zeros without end":    {gzipped(t, append(bytes.Clone(plain), make([]byte, trust.MaxEvidence)...)), "after unpacking"},
		"T43 a layer over the limit":      {make([]byte, trust.MaxEvidence+1), "after unpacking"},
		"T44 a bomb inside another":       {gzipped(t, gzipped(t, plain)), "tar:"},
		"the PEM of no certificate":       {tarOf(t, "hello", regular), "dia-image layer does not contain any CERTIFICATE in PEM format"},
		"DIA-37 a certificate, then junk": {tarOf(t, file, regular, tar.Header{Typeflag: tar.TypeReg, Name: "image.crt"}), "second entry"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Unpack(c.layer)
			if c.want == "" {
				if err != nil || len(b.Certificates) != 1 {
					t.Fatalf("Unpack = %d certificates, %v, want one", len(b.Certificates), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

// DIA-36, T44: what is read of a bomb is bounded; the rest is never unpacked.
func TestT44_BombIsNotUnpackedWhole(t *testing.T) {
	endless := &endlessZeros{}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(make([]byte, 2*trust.MaxEvidence)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(packed.Bytes()); err == nil || !strings.Contains(err.Error(), "after unpacking") && !strings.Contains(err.Error(), "empty") {
		t.Errorf("error = %v", err)
	}
	if _, err := oneFile(endless); err == nil {
		t.Error("no error")
	}
	if endless.read > trust.MaxEvidence+4096 {
		t.Errorf("%d bytes were read", endless.read)
	}
}

type endlessZeros struct{ read int }

func (e *endlessZeros) Read(p []byte) (int, error) {
	clear(p)
	e.read += len(p)
	return len(p), nil
}

func FuzzUnpack(f *testing.F) {
	file := pemOf(newCA(f, nil).leaf(f, byName(app)))
	plain := tarOf(f, file, tar.Header{Typeflag: tar.TypeReg, Name: "image.crt"})
	f.Add(plain)
	f.Add(gzipped(f, plain))
	f.Add(manyEntries(f, file, 3))
	f.Fuzz(func(t *testing.T, layer []byte) {
		b, err := Unpack(layer)
		if (err == nil) != (len(b.Certificates) > 0) || len(b.Certificates) > trust.MaxChain {
			t.Errorf("%d certificates, error %v", len(b.Certificates), err)
		}
	})
}
