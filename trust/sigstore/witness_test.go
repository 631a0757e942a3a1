package sigstore

import (
	"crypto/elliptic"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/trust/trusttest"
)

// logPath is a way in which a log stands behind a signature.
type logPath struct {
	options Options
	signing signing
}

func logPaths() map[string]logPath {
	l := home()
	key, someone := bare(ecKey(elliptic.P256())), l.person(leaf{})
	return map[string]logPath{
		"keyless, signature":                 {l.keyless(), signing{by: someone}},
		"keyless, bundle, promise":           {l.keyless(), signing{by: someone, shape: bundleSignature, version: "0.1", prove: "promise"}},
		"keyless, bundle, promise and proof": {l.keyless(), signing{by: someone, shape: bundleSignature, neighbours: 5}},
		"keyless, bundle, Rekor v2":          {l.keyless(), signing{by: someone, shape: bundleSignature, logs: l.tiles[:1], stamps: l.tsa[:1], neighbours: 5}},
		"keyless, bundle of the manifest":    {l.keyless(), signing{by: someone, shape: bundleMessage, neighbours: 1}},
		"keyless, attestation":               {l.keyless(onlyAttested), signing{by: someone, shape: legacyAttestation}},
		"keyless, attestation in a bundle":   {l.keyless(onlyAttested), signing{by: someone, shape: bundleAttestation}},
		"key, signature":                     {l.keyed(key), signing{by: key}},
		"key, bundle, proof":                 {l.keyed(key), signing{by: key, shape: bundleSignature, prove: "proof", neighbours: 5}},
		"key, bundle, Rekor v2":              {l.keyed(key), signing{by: key, shape: bundleSignature, logs: l.tiles[:1], neighbours: 5}},
		"key, bundle of the manifest":        {l.keyed(key), signing{by: key, shape: bundleMessage}},
		"key, attestation":                   {l.keyed(key, onlyAttested), signing{by: key, shape: legacyAttestation}},
		"key, attestation, bundle, Rekor v2": {l.keyed(key, onlyAttested), signing{by: key, shape: bundleAttestation, logs: l.tiles[:1]}},
		"pki, signature":                     {l.own(), signing{by: someone}},
		"pki, bundle with a chain, Rekor v2": {l.own(), signing{by: someone, shape: bundleSignature, version: "0.2", logs: l.tiles[:1], stamps: l.tsa[:1]}},
	}
}

func (s *signing) byTiles() bool { return len(s.logs) > 0 && s.logs[0].tree == 0 }

// T17: what is logged is this signature, by this key, over this content, by a log that counts.
func TestT17_LogEntries(t *testing.T) {
	l := home()
	rows := map[string]func(s *signing){
		"an entry of another signature": func(s *signing) {
			s.log = func(c *claimed) { c.signature = c.by.sign([]byte("other"), c.hash) }
		},
		"an entry of another certificate or key": func(s *signing) {
			other := l.person(leaf{})
			if s.by.cert == nil {
				other = bare(ecKey(elliptic.P256()))
			}
			s.log = func(c *claimed) { c.by = other }
		},
		"T18 an entry of a bare key where a certificate signed, and the reverse": func(s *signing) {
			swapped := bare(s.by.key)
			if s.by.cert == nil {
				swapped = l.person(leaf{key: s.by.key})
			}
			s.log = func(c *claimed) { c.by = swapped }
		},
		"an entry of other content": func(s *signing) {
			s.log = func(c *claimed) { c.message, c.payload = []byte("other"), []byte("other") }
		},
		"a log that nobody trusts": func(s *signing) {
			s.logs = foreign().rekor[:1]
			if s.byTiles() {
				s.logs = foreign().tiles[:1]
			}
		},
		"a trusted log's ID, signed by another key": func(s *signing) {
			s.log = func(c *claimed) { c.logged.by = &foreign().rekor[0].logKey }
		},
		"a trusted log's ID, signed by another trusted log": func(s *signing) {
			s.log = func(c *claimed) { c.logged.by = &l.rekor[1].logKey }
		},
		"the ID of another trusted log": func(s *signing) {
			s.made = func(m *made) { m.entries[0].LogId.KeyId = l.rekor[1].id[:] }
		},
		bodyOfAnother: func(s *signing) {
			other := *s
			s.made = func(m *made) {
				other.made = func(o *made) { m.entries[0].CanonicalizedBody = o.entries[0].CanonicalizedBody }
				l.sign(app, other)
			}
		},
		"neither promise nor proof": func(s *signing) {
			s.made = func(m *made) { m.entries[0].InclusionPromise, m.entries[0].InclusionProof = nil, nil }
		},
		"no entry": func(s *signing) { s.logs = []*rekorLog{} },
	}
	for path, p := range logPaths() {
		a := newAuthority(t, p.options)
		check(t, a, now, "", l.sign(app, p.signing))
		for name, change := range rows {
			t.Run(path+"/"+name, func(t *testing.T) {
				s := p.signing
				change(&s)
				if name == bodyOfAnother && p.signing.byTiles() {
					t.Skip("the hash of the entry is computed of the signature, and the body is not looked at")
				}
				check(t, a, now, "log", l.sign(app, s))
			})
		}
	}
}

const bodyOfAnother = "the body of another entry"

// T17: each part of a promise and of a proof counts.
func TestT17_PromisesAndProofs(t *testing.T) {
	l := home()
	someone := l.person(leaf{})
	promise := signing{shape: bundleSignature, by: someone, version: "0.1", prove: "promise"}
	proof := signing{shape: bundleSignature, by: someone, neighbours: 5}
	tiles := signing{shape: bundleSignature, by: someone, logs: l.tiles[:1], stamps: l.tsa[:1], neighbours: 5}
	for name, c := range map[string]struct {
		signing signing
		change  func(m *made)
	}{
		"another time in a promise":      {promise, func(m *made) { m.entries[0].IntegratedTime++ }},
		"another index in a promise":     {promise, func(m *made) { m.entries[0].LogIndex++ }},
		"a promise cut short":            {promise, func(m *made) { m.entries[0].InclusionPromise.SignedEntryTimestamp = []byte{1} }},
		"a promise broken, a proof good": {proof, func(m *made) { m.entries[0].InclusionPromise.SignedEntryTimestamp[9] ^= 1 }},
		"another root":                   {proof, func(m *made) { m.entries[0].InclusionProof.RootHash[0] ^= 1 }},
		"a path that leads elsewhere":    {proof, func(m *made) { m.entries[0].InclusionProof.Hashes[1][0] ^= 1 }},
		"a path cut short":               {proof, func(m *made) { m.entries[0].InclusionProof.Hashes = m.entries[0].InclusionProof.Hashes[1:] }},
		"another place":                  {proof, func(m *made) { m.entries[0].InclusionProof.LogIndex++ }},
		"a checkpoint of another size":   {proof, rewriteCheckpoint(func(text string) string { return strings.Replace(text, "\n6\n", "\n7\n", 1) })},
		"a checkpoint without signature": {proof, rewriteCheckpoint(func(text string) string { return text[:strings.Index(text, "\n\n")+2] })},
		"a checkpoint by another log": {proof, func(m *made) {
			p := m.entries[0].InclusionProof
			p.Checkpoint.Envelope = l.rekor[0].checkpoint(6, p.RootHash, &foreign().rekor[0].logKey)
		}},
		"Rekor v2: a path that leads elsewhere": {tiles, func(m *made) { m.entries[0].InclusionProof.Hashes[1][0] ^= 1 }},
		"Rekor v2: another place":               {tiles, func(m *made) { m.entries[0].LogIndex++ }},
		"Rekor v2: a checkpoint of another origin": {tiles, func(m *made) {
			other := *l.tiles[0]
			other.host = "elsewhere.example"
			p := m.entries[0].InclusionProof
			p.Checkpoint.Envelope = other.checkpoint(6, p.RootHash, &l.tiles[0].logKey)
		}},
		"Rekor v2: a checkpoint by another log": {tiles, func(m *made) {
			p := m.entries[0].InclusionProof
			p.Checkpoint.Envelope = l.tiles[0].checkpoint(6, p.RootHash, &foreign().tiles[0].logKey)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, l.keyless())
			check(t, a, now, "", l.sign(app, c.signing))
			c.signing.made = c.change
			check(t, a, now, "log", l.sign(app, c.signing))
		})
	}
}

// T17: an entry in the form of Rekor v2 is compared with the signature even where the tree is one of Rekor v1.
func TestT17_FormsOfRekorDoNotMix(t *testing.T) {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	a := newAuthority(t, l.keyed(key))
	s := signing{shape: bundleSignature, by: key, prove: "proof", log: func(c *claimed) {
		c.signature, c.message = []byte("other"), []byte("other")
		c.writeBody(bundleSignature, true)
	}}
	check(t, a, now, "log", l.sign(app, s))
	s = signing{shape: bundleSignature, by: key, logs: l.tiles[:1], log: func(c *claimed) {
		c.signature, c.message = []byte("other"), []byte("other")
		c.writeBody(bundleSignature, false)
	}}
	check(t, a, now, "log", l.sign(app, s))
}

func rewriteCheckpoint(change func(text string) string) func(m *made) {
	return func(m *made) {
		c := m.entries[0].InclusionProof.Checkpoint
		c.Envelope = change(c.Envelope)
	}
}

// T9: thresholds count logs and authorities, not entries and stamps.
func TestT9_ThresholdsCountDistinctWitnesses(t *testing.T) {
	l := home()
	two := func(o *Options) { o.LogThreshold = 2 }
	twoStamps := func(o *Options) { o.TimestampThreshold = 2 }
	twoSCTs := func(o *Options) { o.SCTThreshold = 2 }
	person := func(logs ...*ctLog) *signer { return l.person(leaf{scts: logs}) }
	one := person(l.ct[0])
	for name, c := range map[string]struct {
		options Options
		signing signing
		want    string
	}{
		"two logs":                            {l.keyless(two), signing{shape: bundleSignature, by: one, logs: l.rekor}, ""},
		"one log where two are wanted":        {l.keyless(two), signing{shape: bundleSignature, by: one}, "1 transparency logs that count, 2 are wanted"},
		"one log twice":                       {l.keyless(two), signing{shape: bundleSignature, by: one, logs: []*rekorLog{l.rekor[0], l.rekor[0]}}, "1 transparency logs"},
		"one log twice, at different places":  {l.keyless(two), signing{shape: bundleSignature, by: one, logs: []*rekorLog{l.rekor[0], l.rekor[0]}, log: growing()}, "1 transparency logs"},
		"one log and a foreign one":           {l.keyless(two), signing{shape: bundleSignature, by: one, logs: []*rekorLog{l.rekor[0], foreign().rekor[0]}}, "1 transparency logs"},
		"Rekor v1 and v2":                     {l.keyless(two), signing{shape: bundleSignature, by: one, logs: []*rekorLog{l.rekor[0], l.tiles[0]}}, ""},
		"two authorities":                     {l.keyless(twoStamps), signing{shape: bundleSignature, by: one, stamps: l.tsa}, ""},
		"one authority where two are wanted":  {l.keyless(twoStamps), signing{shape: bundleSignature, by: one, stamps: l.tsa[:1]}, "1 authorities that count, 2 are wanted"},
		"one authority twice":                 {l.keyless(twoStamps), signing{shape: bundleSignature, by: one, stamps: []*tsa{l.tsa[0], l.tsa[0]}}, "1 authorities"},
		"one authority and a foreign one":     {l.keyless(twoStamps), signing{shape: bundleSignature, by: one, stamps: []*tsa{l.tsa[0], foreign().tsa[0]}}, "1 authorities"},
		"two certificate logs":                {l.keyless(twoSCTs), signing{by: person(l.ct...)}, ""},
		"one certificate log for two":         {l.keyless(twoSCTs), signing{by: one}, "certificate transparency"},
		"one certificate log twice":           {l.keyless(twoSCTs), signing{by: person(l.ct[0], l.ct[0])}, "certificate transparency"},
		"one certificate log, one foreign":    {l.keyless(twoSCTs), signing{by: person(l.ct[0], foreign().ct[0])}, "certificate transparency"},
		"pki, two certificate logs":           {l.own(twoSCTs), signing{by: person(l.ct...)}, ""},
		"pki, one certificate log twice":      {l.own(twoSCTs), signing{by: person(l.ct[0], l.ct[0])}, "certificate transparency"},
		"signature, one of two logs has room": {l.keyless(two), signing{by: one, logs: l.rekor}, "1 transparency logs that count, 2 are wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			proofs := check(t, newAuthority(t, c.options), now, c.want, l.sign(app, c.signing))
			if c.want == "" && len(proofs[0].Log) != max(c.options.LogThreshold, 1) {
				t.Errorf("log entries %+v", proofs[0].Log)
			}
		})
	}
}

// T9: trust material that lists one key twice has one witness: a log under two IDs, an authority under two URLs in two spans of time.
func TestT9_OneKeyListedTwice(t *testing.T) {
	l := home()
	alias := &rekorLog{logKey: logKey{key: l.rekor[0].key, id: sha256.Sum256([]byte("another ID"))}, host: "alias.example", tree: 44}
	change := signed.Add(2 * time.Minute)
	material := l.trusted(func(pb *prototrustroot.TrustedRoot) {
		pb.Tlogs = append(pb.Tlogs, alias.instance("https://"+alias.host))
		first := pb.TimestampAuthorities[0]
		second := proto.Clone(first).(*prototrustroot.CertificateAuthority)
		first.ValidFor.End, second.ValidFor.Start, second.Uri = timestamppb.New(change), timestamppb.New(change), "https://moved.example"
		pb.TimestampAuthorities = append(pb.TimestampAuthorities, second)
	})
	with := func(o *Options) { o.TrustedRoot = &TrustedRootOptions{Inline: material} }
	someone := l.person(leaf{})
	twice := signing{shape: bundleSignature, version: "0.1", prove: "promise", by: someone, logs: []*rekorLog{l.rekor[0], alias}}
	check(t, newAuthority(t, l.keyless(with)), now, "", l.sign(app, twice))
	check(t, newAuthority(t, l.keyless(with, func(o *Options) { o.LogThreshold = 2 })), now, "entries of 1 transparency logs", l.sign(app, twice))
	alone := twice
	alone.logs = []*rekorLog{alias}
	check(t, newAuthority(t, l.keyless(with)), now, "", l.sign(app, alone))

	stamped := signing{by: someone, stamps: l.tsa[:1], shape: bundleSignature, made: func(m *made) {
		m.stamps = [][]byte{l.tsa[0].stamp(m.signature, change.Add(-time.Minute)), l.tsa[0].stamp(m.signature, change.Add(time.Minute))}
	}}
	check(t, newAuthority(t, l.keyless(with, timestamped)), now, "", l.sign(app, stamped))
	check(t, newAuthority(t, l.keyless(with, func(o *Options) { o.TimestampThreshold = 2 })), now, "time stamps by 1 authorities", l.sign(app, stamped))

	o := l.keyless(with, func(o *Options) { o.TimestampThreshold = 3 })
	if _, err := New(Config{}).New(trusttest.Section{Options: o}); err == nil || !strings.Contains(err.Error(), "has 2 time-stamp authorities, and 3 are asked for") {
		t.Errorf("got %v", err)
	}
}

// growing puts each entry at another place of the tree.
func growing() func(c *claimed) {
	n := 0
	return func(c *claimed) { n += 2; c.neighbours = n }
}

// T20: what a certificate or a signature must have been seen by is demanded unless the policy says otherwise, and that is told.
func TestT20_LeftOut(t *testing.T) {
	l := home()
	ignoreSCT := func(o *Options) { o.InsecureIgnoreSCT = true }
	noSCT := l.person(leaf{scts: []*ctLog{}})
	someone := l.person(leaf{})
	inTime := signed.Add(5 * time.Minute)
	for name, c := range map[string]struct {
		signing signing
		now     time.Time
		want    string         // of the strict policy
		out     func(*Options) // opts out
		told    []string
	}{
		"SCT":          {signing{by: noSCT}, now, "certificate transparency", ignoreSCT, []string{"insecureIgnoreSCT"}},
		"log":          {signing{by: someone, logs: []*rekorLog{}, stamps: l.tsa[:1]}, now, "no entry of a transparency log", ignoreLog, []string{"insecureIgnoreLog"}},
		"time":         {signing{by: someone, shape: bundleSignature, logs: l.tiles[:1]}, inTime, "no trusted time", ignoreLog, []string{"insecureIgnoreLog"}},
		"log and time": {signing{by: someone, logs: []*rekorLog{}}, inTime, "no entry of a transparency log", ignoreLog, []string{"insecureIgnoreLog"}},
		"SCT and log":  {signing{by: noSCT, logs: []*rekorLog{}}, inTime, "no entry", func(o *Options) { ignoreLog(o); ignoreSCT(o) }, []string{"insecureIgnoreLog", "insecureIgnoreSCT"}},
	} {
		for _, shape := range []shape{legacySignature, bundleSignature} {
			if c.signing.byTiles() && shape == legacySignature {
				continue // Rekor v2 has no place in this shape
			}
			t.Run(name, func(t *testing.T) {
				c.signing.shape = shape
				p := l.sign(app, c.signing)
				check(t, newAuthority(t, l.keyless()), c.now, c.want, p)
				proofs := check(t, newAuthority(t, l.keyless(c.out)), c.now, "", p)
				if diff := cmp.Diff(c.told, proofs[0].Weakened); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
	t.Run("opting out of logs leaves SCTs", func(t *testing.T) {
		check(t, newAuthority(t, l.keyless(ignoreLog)), inTime, "certificate transparency", l.sign(app, signing{by: noSCT, logs: []*rekorLog{}}))
	})
	t.Run("opting out of SCTs leaves logs", func(t *testing.T) {
		check(t, newAuthority(t, l.keyless(ignoreSCT)), inTime, "no entry", l.sign(app, signing{by: noSCT, logs: []*rekorLog{}}))
	})
}

// T20: an SCT counts if a trusted log gave it for this very certificate.
func TestT20_SCTs(t *testing.T) {
	l := home()
	another := l.person(leaf{scts: []*ctLog{}}).cert
	late := func(pb *prototrustroot.TrustedRoot) {
		pb.Ctlogs[0].PublicKey.ValidFor.Start = timestamppb.New(signed.Add(time.Hour))
	}
	ended := func(pb *prototrustroot.TrustedRoot) {
		pb.Ctlogs[0].PublicKey.ValidFor.End = timestamppb.New(signed.Add(-time.Hour))
	}
	for name, c := range map[string]struct {
		leaf leaf
		edit func(*prototrustroot.TrustedRoot)
	}{
		"none":                                  {leaf: leaf{scts: []*ctLog{}}},
		"by a log that nobody trusts":           {leaf: leaf{scts: foreign().ct[:1]}},
		"by another key under a log's name":     {leaf: leaf{swap: foreign().ct[0]}},
		"of another certificate":                {leaf: leaf{before: another}},
		"before the log's key counted":          {edit: late},
		"after the log's key counted":           {edit: ended},
		"T17 the log is one for signatures too": {leaf: leaf{scts: []*ctLog{{l.rekor[0].logKey}}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := l.keyless()
			if c.edit != nil {
				o.TrustedRoot.Inline = l.trusted(c.edit)
			}
			check(t, newAuthority(t, o), now, "certificate transparency", l.sign(app, signing{by: l.person(c.leaf)}))
		})
	}
}
