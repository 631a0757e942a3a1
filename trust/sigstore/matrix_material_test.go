package sigstore

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"
	"time"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

// materialRows are about where the keys and certificates of logs and authorities come from. Whatever gives them, those of another
// instance do not count.
func materialRows() rows {
	l := home()
	all := rows{
		"TrustedRootOptions.Word": func(t *testing.T, p route) row {
			keeper, err := material.New(material.Config{Default: material.Default{RootFile: material.File{Name: "trusted_root.json", Content: []byte(l.trusted())}}})
			if err != nil {
				t.Fatal(err)
			}
			return row{
				config: Config{Material: keeper},
				policy: func(o *Options) { o.TrustedRoot = &TrustedRootOptions{Word: "default"} },
				flip: func(w *weighed) {
					w.config, w.options.TrustedRoot = Config{Material: keeper}, &TrustedRootOptions{Word: "public-good"}
					w.now = time.Now()
				},
				want: "log",
			}
		},
		"TrustedRootOptions.File": func(*testing.T, route) row {
			return row{
				files:  map[string][]byte{"root.json": []byte(l.trusted())},
				policy: func(o *Options) { o.TrustedRoot = &TrustedRootOptions{File: "root.json"} },
				flip:   func(w *weighed) { w.files = map[string][]byte{"root.json": []byte(foreign().trusted())} },
				want:   "log",
			}
		},
		"TrustedRootOptions.Inline": func(*testing.T, route) row {
			return row{flip: func(w *weighed) { w.options.TrustedRoot.Inline = foreign().trusted() }, want: "log"}
		},
		// What is fetched can be used up to an age, at which any signature is neither good nor bad.
		"TrustedRootOptions.MaxStale": func(t *testing.T, p route) row {
			keeper, err := material.New(material.Config{})
			if err != nil {
				t.Fatal(err)
			}
			return row{
				config: Config{Material: keeper}, now: embeddedTime(keeper).Add(48 * time.Hour),
				policy:  func(o *Options) { o.TrustedRoot = &TrustedRootOptions{Word: "public-good", MaxStale: 72 * time.Hour} },
				noProof: "the evidence is not of the public good instance",
				flip:    func(w *weighed) { w.config, w.options.TrustedRoot.MaxStale = Config{Material: keeper}, 24*time.Hour },
				want:    "at most", unclear: true,
			}
		},
		"TUFOptions.Mirror":   tufRow(TUFOptions{Mirror: "ftp://tuf.example", Root: "{}"}, "no http or https URL"),
		"TUFOptions.Root":     tufRow(TUFOptions{Mirror: "https://tuf.example", Root: "{}"}, "first root"),
		"TUFOptions.RootFile": tufRow(TUFOptions{Mirror: "https://tuf.example", RootFile: "root.json"}, "root.json"),
	}
	parts := map[string]string{"Fulcio": pemOf(l.inter.cert, l.root.cert), "RekorKeys": pemKeys(l.rekor[0].key, l.rekor[1].key), "CTLogKeys": pemKeys(l.ct[0].key, l.ct[1].key), "TimestampCertificates": tsaPEM(l.tsa[0])}
	other := map[string]string{"Fulcio": pemOf(foreign().inter.cert, foreign().root.cert), "RekorKeys": pemKeys(foreign().rekor[0].key), "CTLogKeys": pemKeys(foreign().ct[0].key), "TimestampCertificates": tsaPEM(foreign().tsa[0])}
	wants := map[string]string{"Fulcio": "certificate", "RekorKeys": "log", "CTLogKeys": "certificate transparency", "TimestampCertificates": "authorities"}
	for name := range parts {
		for _, file := range []bool{false, true} {
			field := name
			if file {
				field += "Files"
			}
			all["PartsOptions."+field] = func(*testing.T, route) row {
				give := func(o *Options, text string) map[string][]byte {
					o.TrustedRoot = &TrustedRootOptions{Parts: &PartsOptions{}}
					for n, content := range parts {
						if n != name {
							setField(o.TrustedRoot.Parts, n, content)
						}
					}
					if !file {
						setField(o.TrustedRoot.Parts, name, text)
						return nil
					}
					setField(o.TrustedRoot.Parts, name+"Files", []string{"part.pem"})
					return map[string][]byte{"part.pem": []byte(text)}
				}
				return row{
					files:    map[string][]byte{"part.pem": []byte(parts[name])},
					policy:   func(o *Options) { timestamped(o); give(o, parts[name]) },
					evidence: func(s *signing) { s.stamps = l.tsa[:1] },
					flip:     func(w *weighed) { w.files = give(&w.options, other[name]) },
					want:     wants[name],
				}
			}
		}
	}
	return all
}

// tufRow: what a TUF repository gives is tested beside its code; here, that a mirror without a first root is refused on every path.
func tufRow(o TUFOptions, want string) func(*testing.T, route) row {
	return func(t *testing.T, p route) row {
		keeper, err := material.New(material.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return row{config: Config{Material: keeper}, policy: func(all *Options) { all.TrustedRoot = &TrustedRootOptions{TUF: &o} }, refused: want}
	}
}

// embeddedTime is when the public good instance's material was last proved to be current.
func embeddedTime(k *material.Keeper) time.Time { return k.PublicGood(0).Status(time.Now()).AsOf }

func setField(of any, name string, value any) {
	reflect.ValueOf(of).Elem().FieldByName(name).Set(reflect.ValueOf(value))
}

func pemKeys[K interface{ Public() P }, P any](keys ...K) string {
	text := ""
	for _, k := range keys {
		text += pemKey(k.Public())
	}
	return text
}

func tsaPEM(t *tsa) string { return pemOf(t.leaf, t.inter.cert, t.root.cert) }

// logServer is Rekor v1 as far as a look-up goes: it answers with the entry of a signature that it was told.
type logServer struct {
	*httptest.Server
	mu      sync.Mutex
	entries []*protorekor.TransparencyLogEntry
	asked   []map[string]any
	answer  func(w http.ResponseWriter, r *http.Request) // in place of the entry
}

func newLogServer(t testing.TB) *logServer {
	s := &logServer{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// take keeps a signature's log entries from it.
func (s *logServer) take(m *made) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries, m.entries = m.entries, nil
}

func (s *logServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var question struct{ Entries []map[string]any }
	content, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v1/log/entries/retrieve" || json.Unmarshal(content, &question) != nil || len(question.Entries) != 1 {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	s.asked = append(s.asked, question.Entries[0])
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	all := []any{}
	for _, e := range s.entries {
		all = append(all, map[string]any{"uuid": answerOf(e)})
	}
	_, _ = w.Write(mustJSON(all))
}

// answerOf is an entry as Rekor v1 tells it.
func answerOf(e *protorekor.TransparencyLogEntry) map[string]any {
	return map[string]any{
		"body": e.CanonicalizedBody, "integratedTime": e.IntegratedTime, "logIndex": e.LogIndex, "logID": hex.EncodeToString(e.LogId.KeyId),
		"verification": map[string]any{"signedEntryTimestamp": e.GetInclusionPromise().GetSignedEntryTimestamp()},
	}
}
