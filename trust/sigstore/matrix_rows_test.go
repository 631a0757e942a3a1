package sigstore

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

type rows = map[string]func(t *testing.T, p route) row

const (
	elsewhere    = "upstream.example/x/app"
	notAskedFor  = "which signature: none does not ask for"
	namesNothing = "bundles name no repository"
)

// signatureRows are about what every signature needs, whoever signed.
func signatureRows() rows {
	l := home()
	return rows{
		"Options.Formats": func(_ *testing.T, p route) row {
			mine, other := "signature", "bundle"
			if p.shape.bundles() {
				mine, other = other, mine
			}
			return row{
				policy: func(o *Options) { o.Formats = []string{mine} },
				flip:   func(w *weighed) { w.options.Formats = []string{other} },
			}
		},
		"Options.Signature": func(_ *testing.T, p route) row {
			if p.shape.attests() {
				return row{flip: func(w *weighed) { w.options.Signature = "required" }}
			}
			return row{
				policy: func(o *Options) { o.Signature = "required" },
				flip:   func(w *weighed) { w.signing.shape = bundleAttestation },
				want:   "neither a signature",
			}
		},
		"Options.Annotations": func(_ *testing.T, p route) row {
			r := row{
				policy:   func(o *Options) { o.Annotations = map[string]string{"build": "42"} },
				evidence: func(s *signing) { s.annotations = map[string]any{"build": "42"} },
				flip:     func(w *weighed) { w.signing.annotations = map[string]any{"build": "43"} },
				want:     `annotation "build" is "43"`,
			}
			if p.shape.attests() {
				r.refused = notAskedFor
			}
			return r
		},
		"SignedRepository.Mode": repositoryRow(trust.SignedRepository{Mode: "ignore"}, func(w *weighed) { w.options.SignedRepository.Mode = "match" }),
		"SignedRepository.Exact": repositoryRow(trust.SignedRepository{Exact: elsewhere}, func(w *weighed) {
			w.options.SignedRepository.Exact = "upstream.example/x/other"
		}),
		"RepositoryRemap.From": repositoryRow(trust.SignedRepository{Remap: &trust.RepositoryRemap{From: "upstream.example/x", To: "registry.example/team"}}, func(w *weighed) {
			w.options.SignedRepository.Remap = &trust.RepositoryRemap{From: "upstream.example/y", To: "registry.example/team"}
		}),
		"RepositoryRemap.To": repositoryRow(trust.SignedRepository{Remap: &trust.RepositoryRemap{From: "upstream.example/x", To: "registry.example/team"}}, func(w *weighed) {
			w.options.SignedRepository.Remap = &trust.RepositoryRemap{From: "upstream.example/x", To: "registry.example/other"}
		}),
		"Options.LogThreshold": func(_ *testing.T, p route) row {
			r := row{
				policy:   func(o *Options) { o.LogThreshold = 2 },
				evidence: func(s *signing) { s.logs = l.rekor },
				flip:     func(w *weighed) { w.signing.logs = l.rekor[:1] },
				want:     "1 transparency logs that count, 2 are wanted",
			}
			if !p.shape.bundles() {
				r.noProof = "this shape has room for one log entry"
			}
			return r
		},
		"Options.TimestampThreshold": func(_ *testing.T, p route) row {
			return row{
				policy:   func(o *Options) { o.TimestampThreshold = 1 },
				evidence: func(s *signing) { s.stamps = l.tsa[:1] },
				flip:     func(w *weighed) { w.signing.stamps = foreign().tsa[:1] },
				want:     "0 authorities that count, 1 are wanted",
			}
		},
		"Options.SCTThreshold": func(_ *testing.T, p route) row {
			return row{
				policy: func(o *Options) { o.SCTThreshold = 2 },
				flip:   func(w *weighed) { w.signing.by = l.person(leaf{}) },
				want:   "certificate transparency",
			}
		},
		"Options.InsecureIgnoreLog": func(_ *testing.T, p route) row {
			return row{
				policy:   ignoreLog,
				evidence: func(s *signing) { s.logs, s.stamps = []*rekorLog{}, l.tsa[:1] },
				flip:     func(w *weighed) { w.options.InsecureIgnoreLog = false },
				want:     "no entry of a transparency log",
			}
		},
		"Options.InsecureIgnoreSCT": func(_ *testing.T, p route) row {
			return row{
				policy:   func(o *Options) { o.InsecureIgnoreSCT = true },
				evidence: func(s *signing) { s.by = l.person(leaf{scts: []*ctLog{}}) },
				flip:     func(w *weighed) { w.options.InsecureIgnoreSCT = false },
				want:     "certificate transparency",
			}
		},
		"Options.RekorURL": func(t *testing.T, p route) row {
			holds, empty := newLogServer(t), newLogServer(t)
			return row{
				policy:   func(o *Options) { o.RekorURL = holds.URL },
				evidence: func(s *signing) { s.made = holds.take },
				flip:     func(w *weighed) { w.options.RekorURL = empty.URL },
				want:     "no entry of a transparency log",
			}
		},
	}
}

// repositoryRow is about a signature that names another repository.
func repositoryRow(s trust.SignedRepository, flip func(*weighed)) func(*testing.T, route) row {
	return func(_ *testing.T, p route) row {
		r := row{
			policy:   func(o *Options) { o.SignedRepository = s },
			evidence: func(s *signing) { s.reference = elsewhere },
			flip:     flip,
			want:     "is for the repository",
		}
		switch {
		case p.shape.attests():
			r.refused = notAskedFor
		case p.shape.bundles() && s.Exact != "":
			r.noProof, r.want = namesNothing, "names no repository"
		case p.shape.bundles():
			// A bundle names no repository, so that no mode but exact can be failed.
			r.flip = func(w *weighed) { w.options.SignedRepository = trust.SignedRepository{Exact: elsewhere} }
			r.want = "names no repository"
		}
		return r
	}
}

// signerRows are about who signs.
func signerRows() rows {
	l := home()
	all := rows{
		"IdentityOptions.Issuer":        identityRow(func(*IdentityOptions) {}, leaf{issuer: "https://other.example"}, "issuer is"),
		"IdentityOptions.IssuerRegExp":  identityRow(func(o *IdentityOptions) { o.Issuer, o.IssuerRegExp = "", `https://issuer\.example` }, leaf{issuer: "https://other.example"}, "issuer is"),
		"IdentityOptions.Subject":       identityRow(func(*IdentityOptions) {}, leaf{edits: []edit{uris("https://other.example")}}, "subject is"),
		"IdentityOptions.SubjectRegExp": identityRow(func(o *IdentityOptions) { o.Subject, o.SubjectRegExp = "", `https://git\.example/.*` }, leaf{edits: []edit{uris("https://other.example")}}, "subject is"),
		"SignerOptions.Keys":            keysRow,
		"KeyOptions.PEM":                keyRow(func(_ *testing.T, k *signer, w *weighed) { w.options.Key = &KeyOptions{PEM: pemKey(k.key.Public())} }),
		"KeyOptions.File": keyRow(func(_ *testing.T, k *signer, w *weighed) {
			w.options.Key, w.files = &KeyOptions{File: "cosign.pub"}, map[string][]byte{"cosign.pub": []byte(pemKey(k.key.Public()))}
		}),
		"KeyOptions.KMS": keyRow(func(t *testing.T, k *signer, w *weighed) {
			w.options.Key, w.config = &KeyOptions{KMS: "vault://key"}, Config{Material: keeperWith(t, k)}
		}),
		"KeyOptions.ValidFrom":  keySpanRow(func(k *KeyOptions, at time.Time) { k.ValidFrom = at }, time.Second),
		"KeyOptions.ValidUntil": keySpanRow(func(k *KeyOptions, at time.Time) { k.ValidUntil = at.Add(time.Second) }, -time.Second),
		"PKIOptions.Roots":      pkiRow(nil, func(w *weighed) { w.options.PKI.Roots = pemOf(foreign().root.cert) }),
		"PKIOptions.RootsFiles": pkiRow(func(w *weighed) {
			w.options.PKI.Roots, w.options.PKI.RootsFiles = "", []string{"root.pem"}
			w.files = map[string][]byte{"root.pem": []byte(pemOf(l.root.cert))}
		}, func(w *weighed) { w.files = map[string][]byte{"root.pem": []byte(pemOf(foreign().root.cert))} }),
		"PKIOptions.Intermediates": pkiRow(func(w *weighed) {
			w.options.PKI.Intermediates, w.signing.by = pemOf(l.inter.cert), withoutChain()
		}, func(w *weighed) { w.options.PKI.Intermediates = "" }),
		"PKIOptions.IntermediatesFiles": pkiRow(func(w *weighed) {
			w.options.PKI.IntermediatesFiles, w.signing.by = []string{"i.pem"}, withoutChain()
			w.files = map[string][]byte{"i.pem": []byte(pemOf(l.inter.cert))}
		}, func(w *weighed) { w.options.PKI.IntermediatesFiles = nil }),
		"NameOptions.DNS":       nameRow(NameOptions{DNS: "ci.example"}, NameOptions{DNS: "ci.exampl"}),
		"NameOptions.Email":     nameRow(NameOptions{Email: "*@acme.example"}, NameOptions{Email: "*@acme.exampl"}),
		"NameOptions.URI":       nameRow(NameOptions{URI: "https://git.example/**"}, NameOptions{URI: "https://git.example/*"}),
		"NameOptions.IP":        nameRow(NameOptions{IP: "192.0.2.1"}, NameOptions{IP: "192.0.2.2"}),
		"NameOptions.URIRegExp": nameRow(NameOptions{URIRegExp: `https://git\.example/.*`}, NameOptions{URIRegExp: `https://git\.example/`}),
	}
	for name, n := range claimNumbers() {
		other := allClaims()
		other[n] = "another"
		all["ClaimsOptions."+name] = identityRow(func(o *IdentityOptions) { setField(&o.Claims, name, allClaims()[n]) }, leaf{claims: other, scts: l.ct}, `"another"`)
	}
	return all
}

// identityRow flips what a certificate says.
func identityRow(policy func(*IdentityOptions), other leaf, want string) func(*testing.T, route) row {
	return func(*testing.T, route) row {
		return row{
			policy: func(o *Options) { policy(&o.Keyless.Identities[0]) },
			flip:   func(w *weighed) { w.signing.by = home().person(other) },
			want:   want,
		}
	}
}

// keyRow gives the policy a key in some form, and flips the key.
func keyRow(give func(t *testing.T, k *signer, w *weighed)) func(*testing.T, route) row {
	return func(t *testing.T, p route) row {
		mine, other := bare(ecKey(elliptic.P256())), bare(ecKey(elliptic.P256()))
		w := &weighed{}
		give(t, mine, w)
		return row{
			config: w.config, files: w.files,
			policy:   func(o *Options) { o.SignerOptions = SignerOptions{Key: w.options.Key} },
			evidence: func(s *signing) { s.by = mine },
			flip:     func(w *weighed) { give(t, other, w) },
			want:     "not signed by the key of the policy",
		}
	}
}

// keysRow gives the policy two keys, and flips the one that signs.
func keysRow(*testing.T, route) row {
	mine := bare(ecKey(elliptic.P256()))
	with := func(s *signer) []KeyOptions {
		return []KeyOptions{{PEM: pemKey(ecKey(elliptic.P256()).Public())}, {PEM: pemKey(s.key.Public())}}
	}
	return row{
		policy:   func(o *Options) { o.SignerOptions = SignerOptions{Keys: with(mine)} },
		evidence: func(s *signing) { s.by = mine },
		flip:     func(w *weighed) { w.options.Keys = with(bare(ecKey(elliptic.P256()))) },
		want:     "not signed by any of the 2 keys of the policy",
	}
}

func keySpanRow(bound func(k *KeyOptions, at time.Time), shift time.Duration) func(*testing.T, route) row {
	return func(_ *testing.T, p route) row {
		mine, at := bare(ecKey(elliptic.P256())), signed.Add(time.Minute)
		return row{
			policy: func(o *Options) {
				o.SignerOptions = SignerOptions{Key: &KeyOptions{PEM: pemKey(mine.key.Public())}}
				bound(o.Key, at)
			},
			evidence: func(s *signing) { s.by, s.at = mine, at },
			flip:     func(w *weighed) { bound(w.options.Key, at.Add(shift)) },
			want:     "outside the time in which the key counts",
		}
	}
}

func pkiRow(give func(w *weighed), flip func(w *weighed)) func(*testing.T, route) row {
	return func(_ *testing.T, p route) row {
		version := "0.2" // which may carry a chain
		r := row{
			policy: func(o *Options) {
				o.SignerOptions = SignerOptions{PKI: &PKIOptions{Roots: pemOf(home().root.cert), Names: []NameOptions{{URI: workflow}}}}
			},
			evidence: func(s *signing) { s.version = version },
			flip:     flip,
			want:     "certificate",
		}
		if give == nil {
			return r
		}
		w := &weighed{options: Options{SignerOptions: SignerOptions{PKI: &PKIOptions{}}}}
		give(w)
		given := w.options.PKI
		r.files = w.files
		r.policy = func(o *Options) {
			o.SignerOptions = SignerOptions{PKI: &PKIOptions{Roots: pemOf(home().root.cert), Names: []NameOptions{{URI: workflow}}}}
			if given.RootsFiles != nil {
				o.PKI.Roots = ""
			}
			o.PKI.RootsFiles, o.PKI.Intermediates, o.PKI.IntermediatesFiles = given.RootsFiles, given.Intermediates, given.IntermediatesFiles
		}
		r.evidence = func(s *signing) {
			s.version = version
			if w.signing.by != nil {
				s.by = w.signing.by
			}
		}
		return r
	}
}

// withoutChain is somebody whose signatures carry no other certificate.
func withoutChain() *signer {
	s := *everyone()
	s.chain = nil
	return &s
}

// nameRow is about a certificate with one name of each kind.
func nameRow(rule, other NameOptions) func(*testing.T, route) row {
	return func(*testing.T, route) row {
		names := func(c *x509.Certificate) {
			c.DNSNames, c.EmailAddresses, c.IPAddresses = []string{"ci.example"}, []string{"dev@acme.example"}, []net.IP{net.ParseIP("192.0.2.1")}
		}
		return row{
			policy: func(o *Options) {
				o.SignerOptions = SignerOptions{PKI: &PKIOptions{Roots: pemOf(home().root.cert), Names: []NameOptions{rule}}}
			},
			evidence: func(s *signing) { s.by, s.version = home().person(leaf{edits: []edit{names}}), "0.2" },
			flip:     func(w *weighed) { w.options.PKI.Names = []NameOptions{other} },
			want:     "which no rule of pki.names fits",
		}
	}
}

// keeperWith returns a keeper whose key management service has one key.
func keeperWith(t *testing.T, k *signer) *material.Keeper {
	t.Helper()
	provide := func(context.Context, *url.URL) (*material.Key, error) { return material.NewKey(k.key.Public()) }
	keeper, err := material.New(material.Config{Now: func() time.Time { return now }, KMS: map[string]material.Provider{"vault": provide}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keeper.KMS("vault://key"); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return keeper
}
