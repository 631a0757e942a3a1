package sigstore

import (
	"crypto/elliptic"
	"crypto/x509"
	"testing"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// with returns the instance with some other authorities.
func (l *lab) with(change func(l *lab)) *lab {
	other := *l
	change(&other)
	return &other
}

// ended is a time span that is over before anything is signed in a test.
func ended() edit { return during(signed.Add(-2*year), signed.Add(-time.Hour)) }

// begun is a time span that begins after all is signed.
func begun() edit { return during(signed.Add(time.Hour), signed.Add(year)) }

// T19: the whole chain is valid at each trusted time.
func TestT19_Chains(t *testing.T) {
	intermediate := func(e edit) *lab {
		return home().with(func(l *lab) { l.inter = newCA(l.root, elliptic.P256(), e) })
	}
	root := func(e edit) *lab {
		return home().with(func(l *lab) {
			l.root = newCA(nil, elliptic.P256(), e)
			l.inter = newCA(l.root, elliptic.P256())
		})
	}
	of := func(l *lab, o leaf) signing { return signing{by: l.person(o)} }
	inLeaf := func(e edit) leaf { return leaf{edits: []edit{e}} }
	usage := func(usages ...x509.ExtKeyUsage) leaf {
		return inLeaf(func(c *x509.Certificate) { c.ExtKeyUsage = usages })
	}
	h := home()
	issuing := ecKey(elliptic.P256())
	leafIsCA := &ca{cert: h.person(leaf{key: issuing}).cert, key: issuing}
	for name, c := range map[string]struct {
		lab     *lab
		signing signing
	}{
		"leaf expired":                     {h, of(h, inLeaf(ended()))},
		"leaf not yet valid":               {h, of(h, inLeaf(begun()))},
		"leaf for servers":                 {h, of(h, usage(x509.ExtKeyUsageServerAuth))},
		"leaf for time stamps":             {h, of(h, usage(x509.ExtKeyUsageTimeStamping))},
		"leaf that a leaf issued":          {h, of(h, leaf{by: leafIsCA})},
		"leaf by an authority of the name": {h, of(home().with(func(l *lab) { l.inter = newCA(foreign().root, elliptic.P256()) }), leaf{})},
	} {
		runChain(t, name, c.lab, c.signing)
	}
	for name, l := range map[string]*lab{
		"intermediate expired": intermediate(ended()), "intermediate not yet valid": intermediate(begun()),
		"an authority below one that may have none": root(func(c *x509.Certificate) { c.MaxPathLenZero = true }),
		"root expired": root(ended()), "root not yet valid": root(begun()),
		"intermediate for servers": intermediate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
	} {
		runChain(t, name, l, of(l, leaf{}))
	}
}

func runChain(t *testing.T, name string, l *lab, s signing) {
	t.Helper()
	for _, shape := range []shape{legacySignature, bundleSignature} {
		s.shape = shape
		t.Run(name, func(t *testing.T) {
			check(t, newAuthority(t, l.keyless()), now, "certificate", l.sign(app, s))
			check(t, newAuthority(t, l.own()), now, "certificate", l.sign(app, s))
		})
	}
}

// T19: times count that a log or an authority of the trust material gives.
func TestT19_TrustedTimes(t *testing.T) {
	l := home()
	late := signed.Add(11 * time.Minute)
	someone := l.person(leaf{})
	tsaOnly := signing{by: someone, shape: bundleSignature, logs: []*rekorLog{}, stamps: l.tsa[:1]}
	tiles := signing{by: someone, shape: bundleSignature, logs: l.tiles[:1], stamps: l.tsa[:1]}
	both := signing{by: someone, shape: bundleSignature, stamps: l.tsa[:1]}
	at := func(s signing, t time.Time) signing { s.at = t; return s }
	byTSA := func(s signing, t *tsa) signing { s.stamps = []*tsa{t}; return s }
	replaced := newTSA(l.tsa[0].url, during(signed.Add(-year), signed.Add(-time.Hour)))
	span := func(from, to time.Time) func(*prototrustroot.TrustedRoot) {
		return func(pb *prototrustroot.TrustedRoot) {
			for _, r := range pb.Tlogs {
				r.PublicKey.ValidFor.Start, r.PublicKey.ValidFor.End = timestamppb.New(from), timestamppb.New(to)
			}
		}
	}
	tsaSpan := func(from, to time.Time) func(*prototrustroot.TrustedRoot) {
		return func(pb *prototrustroot.TrustedRoot) {
			pb.TimestampAuthorities[0].ValidFor.Start, pb.TimestampAuthorities[0].ValidFor.End = timestamppb.New(from), timestamppb.New(to)
		}
	}
	caSpan := func(from, to time.Time) func(*prototrustroot.TrustedRoot) {
		return func(pb *prototrustroot.TrustedRoot) {
			pb.CertificateAuthorities[0].ValidFor.Start, pb.CertificateAuthorities[0].ValidFor.End = timestamppb.New(from), timestamppb.New(to)
		}
	}
	before, after := signed.Add(-time.Hour), signed.Add(time.Hour)
	for name, c := range map[string]struct {
		options func(*Options)
		signing signing
		edit    func(*prototrustroot.TrustedRoot)
		want    string
	}{
		"log, in time":                         {nil, signing{by: someone}, nil, ""},
		"log, late":                            {nil, at(signing{by: someone}, late), nil, "log"},
		"log, early":                           {nil, at(signing{by: someone}, before), nil, "log"},
		"log's key not yet valid":              {nil, signing{by: someone}, span(after, after.Add(year)), "log"},
		"log's key no longer valid":            {nil, signing{by: someone}, span(before.Add(-year), before), "log"},
		"authority of certificates not yet":    {nil, signing{by: someone}, caSpan(after, after.Add(year)), "certificate"},
		"authority of certificates no longer":  {nil, signing{by: someone}, caSpan(before.Add(-year), before), "certificate"},
		"stamp, in time":                       {ignoreLog, tsaOnly, nil, ""},
		"stamp, late":                          {ignoreLog, at(tsaOnly, late), nil, "certificate"},
		"stamp, early":                         {ignoreLog, at(tsaOnly, before), nil, "certificate"},
		"stamp by an authority nobody trusts":  {ignoreLog, byTSA(tsaOnly, foreign().tsa[0]), nil, "certificate now"},
		"stamp by another key of that name":    {ignoreLog, byTSA(tsaOnly, replaced), nil, "certificate now"},
		"stamp, authority not yet valid":       {ignoreLog, tsaOnly, tsaSpan(after, after.Add(year)), "certificate now"},
		"stamp, authority no longer valid":     {ignoreLog, tsaOnly, tsaSpan(before.Add(-year), before), "certificate now"},
		"stamp over something else":            {ignoreLog, stampedOver(tsaOnly, []byte("other")), nil, "certificate now"},
		"stamp that is none":                   {ignoreLog, cutStamp(tsaOnly), nil, "certificate now"},
		"Rekor v2 and a stamp":                 {nil, tiles, nil, ""},
		"Rekor v2 and a late stamp":            {nil, at(tiles, late), nil, "certificate"},
		"Rekor v2 and a stamp by nobody":       {nil, byTSA(tiles, foreign().tsa[0]), nil, "no trusted time"},
		"Rekor v2 without a stamp":             {nil, withoutStamps(tiles), nil, "no trusted time"},
		"Rekor v2 with a time of its own":      {nil, timedTiles(withoutStamps(tiles)), nil, "no trusted time"},
		"log and stamp":                        {timestamped, both, nil, ""},
		"log, stamp wanted and missing":        {timestamped, withoutStamps(both), nil, "0 authorities that count, 1 are wanted"},
		"log, stamp wanted and by nobody":      {timestamped, byTSA(both, foreign().tsa[0]), nil, "0 authorities that count, 1 are wanted"},
		"log with a proof alone gives no time": {nil, proofOnly(withoutStamps(both)), nil, "no trusted time"},
		"log with a proof alone, and a stamp":  {nil, proofOnly(both), nil, ""},
		"log in time, stamp late":              {nil, stampedAt(both, late), nil, "certificate"},
		"TSA certificate that ended":           {ignoreLog, byTSA(tsaOnly, replaced), func(pb *prototrustroot.TrustedRoot) { trustTSA(pb, replaced) }, "certificate now"},
	} {
		t.Run(name, func(t *testing.T) {
			o := l.keyless()
			if c.options != nil {
				c.options(&o)
			}
			if c.edit != nil {
				o.TrustedRoot.Inline = l.trusted(c.edit)
			}
			check(t, newAuthority(t, o), now, c.want, l.sign(app, c.signing))
		})
	}
}

func trustTSA(pb *prototrustroot.TrustedRoot, one *tsa) {
	for i, c := range []*x509.Certificate{one.leaf, one.inter.cert, one.root.cert} {
		pb.TimestampAuthorities[0].CertChain.Certificates[i].RawBytes = c.Raw
	}
}

func stampedOver(s signing, other []byte) signing {
	s.stamped = func([]byte) []byte { return other }
	return s
}

func stampedAt(s signing, at time.Time) signing {
	authorities := s.stamps
	s.made = func(m *made) { m.stamps = [][]byte{authorities[0].stamp(m.signature, at)} }
	return s
}

func cutStamp(s signing) signing {
	s.made = func(m *made) { m.stamps[0] = m.stamps[0][:len(m.stamps[0])/2] }
	return s
}

func withoutStamps(s signing) signing { s.stamps = nil; return s }

func proofOnly(s signing) signing { s.prove = "proof"; return s }

func timedTiles(s signing) signing {
	s.made = func(m *made) { m.entries[0].IntegratedTime = signed.Add(time.Minute).Unix() }
	return s
}

// T19: without a trusted time a certificate must be valid now, by a clock that may be wrong; that is asked for by insecureIgnoreLog only.
func TestT19_Now(t *testing.T) {
	l := home()
	for _, options := range []Options{l.keyless(ignoreLog), l.own(ignoreLog)} {
		a := newAuthority(t, options)
		p := l.sign(app, signing{shape: bundleSignature, version: "0.2", logs: []*rekorLog{}})
		for name, c := range map[string]struct {
			now  time.Time
			want string
		}{
			"in time": {signed.Add(time.Minute), ""}, "the first instant": {signed, ""}, "the last second": {signed.Add(10*time.Minute - 1), ""},
			"at the end": {signed.Add(10 * time.Minute), "expired"}, "later": {now, "certificate now"},
			"clock set back": {signed.Add(-time.Second), "certificate now"}, "clock set back far": {time.Unix(0, 0), "certificate now"},
		} {
			t.Run(name, func(t *testing.T) {
				proofs := check(t, a, c.now, c.want, p)
				if c.want == "" && (!proofs[0].Expires.Equal(signed.Add(10*time.Minute)) || !proofs[0].SignedAt.IsZero()) {
					t.Errorf("expires %s, signed at %s", proofs[0].Expires, proofs[0].SignedAt)
				}
			})
		}
	}
}

// T19: a key that counts for a time needs a trusted time, which lies in it.
func TestT19_KeysForATime(t *testing.T) {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	span := func(from, until time.Time) func(*Options) {
		return func(o *Options) { o.Key.ValidFrom, o.Key.ValidUntil = from, until }
	}
	at := signed.Add(time.Minute)
	for name, c := range map[string]struct {
		span    func(*Options)
		options func(*Options)
		signing signing
		want    string
	}{
		"in time":                         {span(at, at.Add(time.Second)), nil, signing{}, ""},
		"from then on":                    {span(at, time.Time{}), nil, signing{}, ""},
		"too early":                       {span(at.Add(time.Second), time.Time{}), nil, signing{}, "outside the time in which the key counts"},
		"until then":                      {span(time.Time{}, at), nil, signing{}, "outside the time in which the key counts"},
		"in time by a stamp":              {span(at, at.Add(time.Second)), func(o *Options) { ignoreLog(o); timestamped(o) }, signing{logs: []*rekorLog{}, stamps: l.tsa[:1]}, ""},
		"too late by a stamp":             {span(time.Time{}, at), func(o *Options) { ignoreLog(o); timestamped(o) }, signing{logs: []*rekorLog{}, stamps: l.tsa[:1]}, "outside the time"},
		"in time by the log, not a stamp": {span(at, at.Add(time.Second)), nil, signing{made: func(m *made) { m.stamps = [][]byte{l.tsa[0].stamp(m.signature, at.Add(time.Hour))} }}, "outside the time"},
		"Rekor v2 gives no time":          {span(at, time.Time{}), nil, signing{shape: bundleSignature, logs: l.tiles[:1]}, "no trusted time says when it signed"},
		"Rekor v2 and a stamp":            {span(at, time.Time{}), nil, signing{shape: bundleSignature, logs: l.tiles[:1], stamps: l.tsa[:1]}, ""},
		"a proof alone gives no time":     {span(at, time.Time{}), nil, signing{shape: bundleSignature, prove: "proof"}, "no trusted time says when it signed"},
	} {
		t.Run(name, func(t *testing.T) {
			o := l.keyed(key, c.span)
			if c.options != nil {
				c.options(&o)
			}
			c.signing.by = key
			check(t, newAuthority(t, o), now, c.want, l.sign(app, c.signing))
		})
	}
}
