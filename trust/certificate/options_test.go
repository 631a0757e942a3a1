package certificate

import (
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// What cannot be enforced, or makes no sense together, is an error with its place and a next step.
func TestNewRefuses(t *testing.T) {
	root := newCA(t, nil)
	leaf := root.leaf(t, byName(app))
	roots := root.pem()
	cn := func(c CommonNameOptions) Options { return Options{Roots: roots, CommonName: &c} }
	files := map[string][]byte{"root.pem": []byte(roots), "text": []byte("text"), "crl": root.crl(t, nil)}
	for name, c := range map[string]struct {
		options Options
		place   string
		want    string
	}{
		"no roots":                       {Options{}, "roots", "no root certificate"},
		"roots without PEM":              {Options{Roots: "text"}, "roots", "does not contain any certificate in PEM format"},
		"roots with a leaf":              {Options{Roots: pemOf(leaf)}, "roots", "not an authority's"},
		"roots with a private key":       {Options{Roots: roots + privateKeyPEM}, "roots", "PRIVATE KEY"},
		"roots that are broken":          {Options{Roots: strings.Replace(roots, "MII", "MIJ", 1)}, "roots", "failed to parse certificate"},
		"roots with a weak key":          {Options{Roots: string(testdata(t, "rsa1024-root.pem"))}, "roots", "1024 bits"},
		"a roots file that is not there": {Options{RootsFiles: []string{"root.pem", "none"}}, "rootsFiles[1]", "does not exist"},
		"a roots file without PEM":       {Options{RootsFiles: []string{"text"}}, "rootsFiles[0]", "does not contain any certificate"},
		"intermediates without PEM":      {Options{Roots: roots, Intermediates: "text"}, "intermediates", "does not contain any"},
		"an intermediates file without":  {Options{Roots: roots, IntermediatesFiles: []string{"text"}}, "intermediatesFiles[0]", "does not contain any"},
		"DIA-9 slice 0-0":                {cn(CommonNameOptions{Slice: "0-0"}), "commonName.slice", "empty or reversed"},
		"DIA-9 slice reversed":           {cn(CommonNameOptions{Slice: "10-5"}), "commonName.slice", "empty or reversed"},
		"DIA-9 slice negative":           {cn(CommonNameOptions{Slice: "-1-5"}), "commonName.slice", "not of the form"},
		"DIA-9 slice negative end":       {cn(CommonNameOptions{Slice: "0--40"}), "commonName.slice", "not of the form"},
		"DIA-9 slice past 64":            {cn(CommonNameOptions{Slice: "0-65"}), "commonName.slice", "ends past 64"},
		"DIA-9 slice far past 64":        {cn(CommonNameOptions{Slice: "0-99999999999999999999"}), "commonName.slice", "not of the form"},
		"DIA-9 slice not numeric":        {cn(CommonNameOptions{Slice: "abc"}), "commonName.slice", "not of the form"},
		"DIA-9 slice with a sign":        {cn(CommonNameOptions{Slice: "+0-40"}), "commonName.slice", "not of the form"},
		"DIA-9 slice too short":          {cn(CommonNameOptions{Slice: "0-31"}), "commonName.slice", "fewer than 32"},
		"DIA-9 slice with three numbers": {cn(CommonNameOptions{Slice: "0-40-64"}), "commonName.slice", "not of the form"},
		"DIA-9 slice with a space":       {cn(CommonNameOptions{Slice: "0 -40"}), "commonName.slice", "not of the form"},
		"a match that is unknown":        {cn(CommonNameOptions{Match: "prefix"}), "commonName.match", "unknown"},
		"a prefix that leaves no room":   {cn(CommonNameOptions{Prefix: strings.Repeat("x", 25)}), "commonName.prefix", "at most 64"},
		"a common name that is not looked at": {
			Options{Roots: roots, SAN: "required", CommonName: &CommonNameOptions{}}, "commonName", "never looked at"},
		"a SAN rule that is unknown":        {Options{Roots: roots, SAN: "maybe"}, "san", "unknown"},
		"a usage that is unknown":           {Options{Roots: roots, ExtKeyUsage: "serverAuth"}, "extKeyUsage", "unknown"},
		"a validity that is unknown":        {Options{Roots: roots, Validity: "never"}, "validity", "unknown"},
		"a negative age":                    {Options{Roots: roots, MaxAge: -time.Hour}, "maxAge", "negative"},
		"dates ignored and looked at":       {Options{Roots: roots, InsecureIgnoreDates: true, Validity: "now"}, "insecureIgnoreDates", "remove"},
		"dates ignored and an age":          {Options{Roots: roots, InsecureIgnoreDates: true, MaxAge: 1}, "insecureIgnoreDates", "remove"},
		"time stamps without roots":         {Options{Roots: roots, Validity: "timestamp"}, "validity", "whose time stamps"},
		"time-stamp roots without use":      {Options{Roots: roots, TimestampRoots: roots}, "timestampRoots", "validity: timestamp"},
		"time-stamp root files without use": {Options{Roots: roots, TimestampRootsFiles: []string{"root.pem"}}, "timestampRoots", "validity: timestamp"},
		"T15 a repository for common names": {Options{Roots: roots, SignedRepository: trust.SignedRepository{Exact: "registry.example/a"}}, "signedRepository", "san: required"},
		"T15 a mapping for common names":    {Options{Roots: roots, SignedRepository: trust.SignedRepository{Remap: &trust.RepositoryRemap{From: "a.example", To: "b.example"}}}, "signedRepository", "san: required"},
		"a repository that is none":         {Options{Roots: roots, SAN: "required", SignedRepository: trust.SignedRepository{Exact: "X"}}, "signedRepository", "no repository"},
		"a CRL without a file":              {Options{Roots: roots, CRLs: []CRLOptions{{}}}, "crls[0].file", "is empty"},
		"a CRL that is not there":           {Options{Roots: roots, CRLs: []CRLOptions{{File: "crl"}, {File: "none"}}}, "crls[1].file", "does not exist"},
		"a CRL that is none":                {Options{Roots: roots, CRLs: []CRLOptions{{File: "text"}}}, "crls[0].file", "x509"},
		"a denied serial that is none":      {Options{Roots: roots, Denied: &DeniedOptions{Serials: []string{"1", "4g"}}}, "denied.serials[1]", "no serial number"},
		"a denied serial that is empty":     {Options{Roots: roots, Denied: &DeniedOptions{Serials: []string{":"}}}, "denied.serials[0]", "no serial number"},
		"a denied key in another form":      {Options{Roots: roots, Denied: &DeniedOptions{Keys: []string{"4fa2"}}}, "denied.keys[0]", "SHA256:"},
		"a denied key that is too short":    {Options{Roots: roots, Denied: &DeniedOptions{Keys: []string{"SHA256:QUJD"}}}, "denied.keys[0]", "3 bytes"},
		"a denied digest that is empty":     {Options{Roots: roots, Denied: &DeniedOptions{Digests: []image.Digest{{}}}}, "denied.digests[0]", "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := Format().New(trusttest.Section{Options: c.options, Files: files})
			if err == nil || a != nil {
				t.Fatal("no error")
			}
			text := err.Error()
			if !strings.HasPrefix(text, "section."+c.place+": ") || !strings.Contains(text, c.want) || !strings.Contains(text, "; ") {
				t.Errorf("error = %q, want place %s, text %q and a next step", text, c.place, c.want)
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	root, second := newCA(t, nil), newCA(t, nil, named("Second"))
	files := map[string][]byte{"root.pem": []byte("text around\n" + second.pem() + "\n")}
	a := newAuthorityWithFiles(t, Options{Roots: root.pem(), RootsFiles: []string{"root.pem"}, CommonName: &CommonNameOptions{Slice: "32-64"}}, files)
	for _, c := range []*ca{root, second} {
		proofs, err := a.Check(app, layerOf(t, c.leaf(t, named(app.Digest().Hex()[32:]))), now)
		expect(t, proofs, err, "")
	}
}

// The zero authority has no roots; x509 would take the system's instead.
func TestZeroAuthorityProvesNothing(t *testing.T) {
	proofs, err := new(authority).Check(app, layerOf(t, newCA(t, nil).leaf(t, byName(app))), now)
	wantCannotTell(t, proofs, err, "nothing to check against")
}

func FuzzParseSlice(f *testing.F) {
	for _, s := range []string{"0-40", "0-0", "10-5", "-1-5", "0-65", "abc", "32-64"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseSlice(s)
		if err == nil && (got.start < 0 || got.end > maxSliceEnd || got.end-got.start < minSliceDigits) {
			t.Errorf("parseSlice(%q) = %+v", s, got)
		}
	})
}
