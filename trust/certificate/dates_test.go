package certificate

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// T19: every position of the chain, under every rule about time.
func TestT19_Dates(t *testing.T) {
	hour := time.Hour
	afterwards := issued.Add(30 * 24 * hour) // every short-lived certificate here has expired
	cases := map[string]struct {
		options                Options
		root, inter, leaf      edit
		now                    time.Time
		want                   string
		expires                time.Time
		skipIntermediateInFile bool
	}{
		"now, all valid":                           {Options{}, nil, nil, nil, now, "", issued.Add(10 * time.Minute), false},
		"now, leaf expired":                        {Options{}, nil, nil, nil, afterwards, "is valid from", time.Time{}, false},
		"now, at the end of the leaf":              {Options{}, nil, nil, nil, issued.Add(10 * time.Minute), "expired", time.Time{}, false},
		"now, leaf not yet valid":                  {Options{}, nil, nil, nil, issued.Add(-time.Second), "not valid before", time.Time{}, false},
		"now, clock set back by years":             {Options{}, nil, nil, nil, issued.Add(-3 * year), "not valid before", time.Time{}, false},
		"now, intermediate expired":                {Options{}, nil, during(issued.Add(-hour), issued.Add(time.Minute)), nil, now, "is valid from", time.Time{}, false},
		"now, intermediate expired, in the policy": {Options{}, nil, during(issued.Add(-hour), issued.Add(time.Minute)), nil, now, "is valid from", time.Time{}, true},
		"now, root expired":                        {Options{}, during(issued.Add(-hour), issued.Add(time.Minute)), nil, nil, now, "is valid from", time.Time{}, false},
		"now, the intermediate ends first":         {Options{}, nil, during(issued.Add(-hour), issued.Add(6*time.Minute)), nil, now, "", issued.Add(6 * time.Minute), false},

		"DIA-12 issued, leaf expired since":                 {Options{Validity: "issued"}, nil, nil, nil, afterwards, "", time.Time{}, false},
		"DIA-12 now, leaf expired since":                    {Options{Validity: "now"}, nil, nil, nil, afterwards, "is valid from", time.Time{}, false},
		"issued, all expired since":                         {Options{Validity: "issued"}, nil, nil, nil, issued.Add(20 * year), "", time.Time{}, false},
		"DIA-13 issued after the root's end":                {Options{Validity: "issued"}, during(issued.Add(-2*hour), issued.Add(-hour)), nil, nil, now, "is valid from", time.Time{}, false},
		"DIA-13 issued before the root's begin":             {Options{Validity: "issued"}, during(issued.Add(time.Second), issued.Add(hour)), nil, nil, now, "is valid from", time.Time{}, false},
		"DIA-13 issued after the intermediate's end":        {Options{Validity: "issued"}, nil, during(issued.Add(-2*hour), issued.Add(-hour)), nil, now, "is valid from", time.Time{}, false},
		"DIA-13 the same, dates ignored":                    {Options{InsecureIgnoreDates: true}, during(issued.Add(-2*hour), issued.Add(-hour)), during(issued.Add(-2*hour), issued.Add(-hour)), nil, afterwards, "", time.Time{}, false},
		"DIA-13 the same, dates ignored, policy's":          {Options{InsecureIgnoreDates: true}, during(issued.Add(-2*hour), issued.Add(-hour)), during(issued.Add(-2*hour), issued.Add(-hour)), nil, afterwards, "", time.Time{}, true},
		"issued in the future":                              {Options{Validity: "issued"}, nil, nil, during(issued.Add(hour), issued.Add(2*hour)), now, "not valid before", time.Time{}, false},
		"issued, within the maximum age":                    {Options{Validity: "issued", MaxAge: hour}, nil, nil, nil, issued.Add(hour - 1), "", issued.Add(hour), false},
		"issued, past the maximum age":                      {Options{Validity: "issued", MaxAge: hour}, nil, nil, nil, issued.Add(hour), "more than 1h0m0s ago", time.Time{}, false},
		"now, the maximum age ends first":                   {Options{MaxAge: 6 * time.Minute}, nil, nil, nil, now, "", issued.Add(6 * time.Minute), false},
		"timestamp, none there":                             {Options{Validity: "timestamp", TimestampRoots: string(testdata(t, "tsa-root.pem"))}, nil, nil, nil, now, "no time stamp", time.Time{}, false},
		"T6 dates ignored, but another authority's root":    {Options{InsecureIgnoreDates: true, Roots: newCA(t, nil).pem()}, nil, nil, nil, now, "unknown authority", time.Time{}, false},
		"dates ignored, but the name of another image's":    {Options{InsecureIgnoreDates: true}, nil, nil, named("x"), now, invalid, time.Time{}, false},
		"dates ignored, leaf of a future that is not there": {Options{InsecureIgnoreDates: true}, nil, nil, during(issued.Add(hour), issued.Add(2*hour)), now, "", time.Time{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root := newCA(t, nil, named("Root"), orNothing(c.root))
			inter := newCA(t, root, named("Intermediate"), orNothing(c.inter))
			certs := []*x509.Certificate{inter.leaf(t, byName(app), orNothing(c.leaf)), inter.cert}
			if c.options.Roots == "" {
				c.options.Roots = root.pem()
			}
			if c.skipIntermediateInFile {
				c.options.Intermediates, certs = inter.pem(), certs[:1]
			}
			proofs, err := newAuthority(t, c.options).Check(app, layerOf(t, certs...), c.now)
			expect(t, proofs, err, c.want)
			if c.want == "" && !proofs[0].Expires.Equal(c.expires) {
				t.Errorf("expires %s, want %s", proofs[0].Expires, c.expires)
			}
			if weakened := c.want == "" && len(proofs[0].Weakened) > 0; weakened != (c.want == "" && c.options.InsecureIgnoreDates) {
				t.Errorf("weakened %v", proofs[0].Weakened)
			}
		})
	}
}

func orNothing(e edit) edit {
	if e == nil {
		return func(*x509.Certificate) {}
	}
	return e
}

// T19: a time stamp by an unknown authority, over something else, or none at all does not lend its time.
func TestT19_Timestamps(t *testing.T) {
	leaf := vector(t, "rsa-leaf.pem")
	token := testdata(t, "rsa-leaf.token")
	roots, trusted := string(testdata(t, "rsa-root.pem")), string(testdata(t, "tsa-root.pem"))
	later := leaf.NotAfter.Add(year)
	damaged := bytes.Clone(token)
	damaged[len(damaged)-3] ^= 1
	for name, c := range map[string]struct {
		roots string
		ev    trust.Evidence
		now   time.Time
		want  string
	}{
		"expired leaf, stamped in time": {trusted, stampedLayerOf(t, token, leaf), later, ""},
		"the authority unknown":         {newCA(t, nil, named("TSA root")).pem(), stampedLayerOf(t, token, leaf), later, "time stamp: "},
		"no time stamp":                 {trusted, layerOf(t, leaf), later, "no time stamp"},
		"over another certificate":      {trusted, stampedLayerOf(t, token, vector(t, "san-leaf.pem")), later, "hashed messages don't match"},
		"a damaged signature":           {trusted, stampedLayerOf(t, damaged, leaf), later, "time stamp: "},
		"a cut token":                   {trusted, stampedLayerOf(t, token[:100], leaf), later, "time stamp: "},
		"an empty token":                {trusted, stampedLayerOf(t, []byte{}, leaf), later, "time stamp: "},
		"T43 a token over the limit":    {trusted, stampedLayerOf(t, make([]byte, maxToken+1), leaf), later, "at most 65536"},
		"made in the future":            {trusted, stampedLayerOf(t, token, leaf), leaf.NotBefore, ""},
		"before it was made":            {trusted, stampedLayerOf(t, token, leaf), leaf.NotBefore.Add(-time.Hour), "not valid before"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, Options{Roots: roots, Validity: "timestamp", TimestampRoots: c.roots})
			proofs, err := a.Check(app, c.ev, c.now)
			if name == "made in the future" {
				// The stamp was made within a second of the leaf; either answer is right, but never one that cannot tell.
				if err != nil && !trust.IsNo(err) {
					t.Errorf("error = %v", err)
				}
				return
			}
			expect(t, proofs, err, c.want)
		})
	}
}

// T21: an authority for time stamps can be denied too.
func TestT21_DeniedTimestampAuthority(t *testing.T) {
	leaf := vector(t, "rsa-leaf.pem")
	response, err := timestampResponse(testdata(t, "rsa-leaf.token"))
	if err != nil {
		t.Fatal(err)
	}
	key := embeddedKey(t, response)
	a := newAuthority(t, Options{
		Roots: string(testdata(t, "rsa-root.pem")), Validity: "timestamp", TimestampRoots: string(testdata(t, "tsa-root.pem")),
		Denied: &DeniedOptions{Keys: []string{key}},
	})
	proofs, err := a.Check(app, stampedLayerOf(t, testdata(t, "rsa-leaf.token"), leaf), leaf.NotAfter)
	wantNo(t, proofs, err, "denied list")
}

// T47: checking a signature by an outsize RSA key would take seconds.
func TestT47_KeySizes(t *testing.T) {
	root := newCA(t, nil)
	a := newAuthority(t, Options{Roots: root.pem()})
	for bits, want := range map[int]string{1024: "1024 bits", 2047: "2047 bits", 2048: "", 8192: "", 8193: "8193 bits", 65536: "65536 bits"} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		key := &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
		leaf := root.leafWithKey(t, publicOnly{key}, byName(app))
		proofs, err := a.Check(app, layerOf(t, leaf), now)
		expect(t, proofs, err, want)
	}
}

func TestDenied(t *testing.T) {
	root := newCA(t, nil)
	leaf := root.leaf(t, vouching(app))
	for name, c := range map[string]struct {
		denied DeniedOptions
		want   string
	}{
		"nothing":                  {DeniedOptions{}, ""},
		"DIA-14 T21 digest":        {DeniedOptions{Digests: []image.Digest{app.Digest()}}, "denied list"},
		"another digest":           {DeniedOptions{Digests: []image.Digest{image.SHA256(nil)}}, ""},
		"DIA-14 T21 serial":        {DeniedOptions{Serials: []string{leaf.SerialNumber.Text(16)}}, "denied list"},
		"T21 serial of the root":   {DeniedOptions{Serials: []string{"00:" + trust.Serial(root.cert.SerialNumber)}}, "denied list"},
		"T21 key":                  {DeniedOptions{Keys: []string{trust.Fingerprint(leaf.RawSubjectPublicKeyInfo)}}, "denied list"},
		"T21 key of the authority": {DeniedOptions{Keys: []string{trust.Fingerprint(root.cert.RawSubjectPublicKeyInfo)}}, "denied list"},
		"another serial":           {DeniedOptions{Serials: []string{"1"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			proofs, err := newAuthority(t, Options{Roots: root.pem(), Denied: &c.denied}).Check(app, layerOf(t, leaf), now)
			expect(t, proofs, err, c.want)
		})
	}
}
