package registry

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestParseChallenges(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		want    challenge
		ok      bool
	}{
		{"bearer", []string{`Bearer realm="https://a.example/token",service="s",scope="repository:x:pull,push"`},
			challenge{"bearer", "https://a.example/token", "s", "repository:x:pull,push"}, true},
		{"without quotes, other case, spaces", []string{`BEARER  Realm = x ,	SERVICE=y`}, challenge{"bearer", "x", "y", ""}, true},
		{"escaped", []string{`Bearer realm="a\"b\\c"`}, challenge{"bearer", `a"b\c`, "", ""}, true},
		{"basic", []string{`Basic realm="x"`}, challenge{"basic", "x", "", ""}, true},
		{"bearer goes first", []string{`Basic realm="x"`, `Bearer realm="y"`}, challenge{"bearer", "y", "", ""}, true},
		{"two in one header", []string{`Basic realm="x", Bearer realm="y",service="z"`}, challenge{"bearer", "y", "z", ""}, true},
		{"a comma in quotes", []string{`Digest a="x, Bearer realm=y", Basic realm="z"`}, challenge{"basic", "z", "", ""}, true},
		{"a realm twice", []string{`Bearer realm="x",realm="y"`}, challenge{}, false},
		{"unclosed", []string{`Bearer realm="x`}, challenge{"bearer", "", "", ""}, true},
		{"only parameters", []string{`realm="x"`}, challenge{}, false},
		{"unknown", []string{`Negotiate`}, challenge{}, false},
		{"nothing", nil, challenge{}, false},
		{"too long", []string{`Bearer realm="` + strings.Repeat("x", maxChallenge) + `"`}, challenge{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseChallenges(tt.headers)
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %+v, %t; want %+v, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// FuzzChallenge shows that whatever a registry says, no token service gets through that is not the registry's own.
func FuzzChallenge(f *testing.F) {
	for _, s := range []string{
		`Bearer realm="https://r.example/token",service="s"`, `Bearer realm="https://r.example@evil.example/"`, `Bearer realm="//evil.example"`,
		`Bearer realm="https://evil.example\@r.example/"`, `Basic realm=x, Bearer realm="https://R.EXAMPLE:443/?a=b"`, `Bearer realm="http://r.example"`,
	} {
		f.Add(s)
	}
	c, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	e := c.registryEndpoint("r.example")
	f.Fuzz(func(t *testing.T, header string) {
		ch, ok := parseChallenges([]string{header})
		if !ok {
			return
		}
		u, err := c.checkRealm(ch.realm, "r.example", e)
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q: control characters in %q", header, err)
			}
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Hostname() != "r.example" || again.Scheme != "https" || again.User != nil {
			t.Errorf("%q: got through as %s", header, u)
		}
	})
}

func TestNextLink(t *testing.T) {
	tests := []struct{ name, header, want string }{
		{"plain", `</v2/x?n=1>; rel="next"`, "/v2/x?n=1"},
		{"without quotes", `</v2/x>;rel=next`, "/v2/x"},
		{"second link", `</a>; rel="prev", </b>; rel="next"`, "/b"},
		{"several relations", `</a>; title="x; y, z"; rel="first Next"`, "/a"},
		{"first relation counts", `</a>; rel="prev"; rel="next"`, ""},
		{"text in a title", `</a>; title="</b>; rel=next"`, ""},
		{"no relation", `</a>`, ""},
		{"unclosed", `</a; rel="next"`, ""},
		{"nonsense", `rel="next"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, found := nextLink([]string{tt.header})
			if got != tt.want || found != (tt.want != "") {
				t.Errorf("got %q, %t; want %q", got, found, tt.want)
			}
		})
	}
}

func FuzzLink(f *testing.F) {
	for _, s := range []string{`</v2/x?n=1>; rel="next"`, `<https://evil.example/v2/x>; rel=next`, `</a>; rel="prev", <?b>; rel="next"`, `<//evil/v2/x?a>; rel=next`} {
		f.Add(s)
	}
	e := &endpoint{scheme: "https", host: "r.example"}
	r := request{path: "/v2/x/referrers/sha256:0", query: "n=1"}
	f.Fuzz(func(t *testing.T, header string) {
		query, err := nextPage([]string{header}, e, r)
		if err != nil || query == "" {
			return
		}
		if query == r.query {
			t.Errorf("%q: leads to the same page", header)
		}
		u := url.URL{Scheme: e.scheme, Host: e.host, Path: r.path, RawQuery: query}
		if _, err := http.NewRequest(http.MethodGet, u.String(), nil); err != nil {
			t.Errorf("%q: leads to %q, which cannot be asked for: %v", header, query, err)
		}
	})
}

// FuzzManifest shows that what is accepted reads alike with readers that look at the case of names and with those that do not.
func FuzzManifest(f *testing.F) {
	for _, s := range []string{
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"a"}]}`,
		`{"layers":[],"Layers":[{}]}`, `{"manifests":[],"config":{}}`, `{"a":{"b":[{"c":1,"c":2}]}}`, `{"layer\u017f":[]}`, `{}{}`, `{"mediaType":1}`,
	} {
		f.Add("application/vnd.oci.image.manifest.v1+json", []byte(s))
		f.Add("", []byte(s))
		f.Add(mediaTypeIndex, []byte(s))
	}
	f.Fuzz(func(t *testing.T, contentType string, content []byte) {
		mediaType, err := sniff(contentType, content)
		if err != nil {
			return
		}
		var lax struct { // encoding/json does not look at the case
			MediaType string
			Manifests json.RawMessage
			Layers    json.RawMessage
			Config    json.RawMessage
		}
		var strict map[string]json.RawMessage
		if err := json.Unmarshal(content, &strict); err != nil {
			t.Fatalf("accepted %q: %v", content, err)
		}
		if err := json.Unmarshal(content, &lax); err != nil {
			t.Fatalf("accepted %q: %v", content, err)
		}
		if lax.MediaType != "" && lax.MediaType != mediaType || contentType != "" && contentType != mediaType {
			t.Errorf("%q: media types %q, %q, %q", content, contentType, lax.MediaType, mediaType)
		}
		if lax.Manifests != nil && (lax.Layers != nil || lax.Config != nil) {
			t.Errorf("accepted as both: %q", content)
		}
		got := map[string]string{"manifests": string(lax.Manifests), "layers": string(lax.Layers), "config": string(lax.Config)}
		want := map[string]string{"manifests": string(strict["manifests"]), "layers": string(strict["layers"]), "config": string(strict["config"])}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q reads in two ways (-strict +lax):\n%s", content, diff)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	for _, s := range []string{
		`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}`, `{"errors":[{"code":"A","detail":[1,{"b":null}]}]}`,
		`{"errors":{}}`, `null`, `{"errors":[null]}`, "{\"errors\":[{\"code\":\"\x1b\\u0000\"}]}", `{"errors":[{"code":"secret-token","message":"x"}]}`,
	} {
		f.Add(s, 404)
	}
	f.Fuzz(func(t *testing.T, body string, status int) {
		const secret = "secret-token"
		a := answer{method: "GET", url: "https://r.example/v2/x/manifests/1", status: status, body: []byte(body), secrets: secretsOf("Bearer " + secret)}
		e := statusError(a, true)
		if e.notFound && status != http.StatusNotFound {
			t.Errorf("status %d reads as not found", status)
		}
		text := e.Error()
		if strings.ContainsFunc(text, unicode.IsControl) || strings.Contains(text, secret) || len(text) > 10*maxForeignText*4 {
			t.Errorf("%q gives the text %q", body, text)
		}
	})
}

func TestT48_Guard(t *testing.T) {
	strict, loopback, only := guard{}, guard{loopback: true}, guard{loopback: true, onlyLoopback: true}
	tests := []struct {
		address string
		guard   guard
		refused bool
	}{
		{"10.0.0.1", strict, false},
		{"93.184.216.34", strict, false},
		{"2606:2800:220:1::1", strict, false},
		{"fd00::1", strict, false},
		{"127.0.0.1", strict, true},
		{"127.9.9.9", strict, true},
		{"::1", strict, true},
		{"::ffff:127.0.0.1", strict, true},
		{"::ffff:100.100.100.200", strict, true},
		{"::ffff:0.1.2.3", strict, true},
		{"::127.0.0.1", strict, true},
		{"2002:7f00:1::", strict, true},
		{"64:ff9b::7f00:1", strict, true},
		{"64:ff9b:1::7f00:1", strict, true},
		{"64:ff9b:1:7f00:0:100::", strict, true},
		{"64:ff9b:1::a00:1", strict, false},
		{"::ffff:0:127.0.0.1", strict, true},
		{"2001:0:7f00:1::", strict, true},
		{"2001:0:a00:1:0:0:80ff:fffe", strict, true},
		{"fd00::5efe:127.0.0.1", strict, true},
		{"169.254.169.254", loopback, true},
		{"169.254.1.1", strict, true},
		{"fe80::1%eth0", strict, true},
		{"fec0::1", strict, true},
		{"fd00:ec2::254", strict, true},
		{"100.100.100.200", strict, true},
		{"168.63.129.16", strict, true},
		{"0.0.0.0", guard{loopback: true, linkLocal: true}, true},
		{"0.1.2.3", strict, true},
		{"::", guard{loopback: true, linkLocal: true}, true},
		{"224.0.0.1", guard{loopback: true, linkLocal: true}, true},
		{"ff02::1", strict, true},
		{"255.255.255.255", strict, true},
		{"127.0.0.1", loopback, false},
		{"::1", loopback, false},
		{"10.0.0.1", loopback, false},
		{"10.0.0.1", only, true},
		{"127.0.0.1", only, false},
		{"169.254.169.254", guard{linkLocal: true}, false},
	}
	for _, tt := range tests {
		t.Run(tt.address, func(t *testing.T) {
			got := tt.guard.refuse(netip.MustParseAddr(tt.address))
			if (got != "") != tt.refused {
				t.Errorf("%+v: got %q, want refused %t", tt.guard, got, tt.refused)
			}
		})
	}
}

func TestRecentIsBounded(t *testing.T) {
	var dropped []int
	r := recent[int, int]{limit: 2, drop: func(v int) { dropped = append(dropped, v) }}
	get := func(key int) int { return r.get(key, func() int { return key * 10 }) }
	for _, key := range []int{1, 2, 1, 3, 1, 4} {
		if got := get(key); got != key*10 {
			t.Errorf("got %d for %d", got, key)
		}
	}
	if diff := cmp.Diff([]int{20, 30}, dropped); diff != "" || len(r.entries) != 2 {
		t.Errorf("dropped (-want +got):\n%s, %d left", diff, len(r.entries))
	}
}

func TestModestScope(t *testing.T) {
	const own = "repository:x:pull"
	for asked, want := range map[string]bool{
		"repository:x:pull": true, "repository:key/x:pull": true, "repository:x:pull,push": false, "repository:*:pull": false,
		"registry:catalog:*": false, "repository:x:pull repository:y:pull": false, "": false, "repository::pull": false,
	} {
		if got := modest(asked, own); got != want {
			t.Errorf("modest(%q) = %t, want %t", asked, got, want)
		}
	}
}

// FuzzNotary shows that whatever images and signed metadata are called, a request goes to the server that was named and to the trust
// data of the repository that was named.
func FuzzNotary(f *testing.F) {
	f.Add("https://notary.example:4443/a", "registry.example:5000/prod/api", "targets/releases.json")
	f.Add("https://a@b.example", "x/../y", "../root.json")
	f.Add("http://[::1]", "[::1]:5000/x", "_trust/tuf/root.json")
	f.Add("https://a.example\\@b.example", "x%2f..", "targets/a?b#c.json")
	c, err := New(Config{LoopbackHTTP: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, server, gun, name string) {
		n, err := c.notary(server)
		var p string
		if err == nil {
			p, err = n.pathOf(gun, name)
		}
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("control characters in %q", err)
			}
			return
		}
		sent := url.URL{Scheme: n.scheme, Host: n.address, Path: p}
		u, err := url.Parse(sent.String())
		asked, _ := url.Parse(server)
		switch {
		case err != nil || u.Host != n.address || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			t.Errorf("%q: got through as %s, %v", server, &sent, err)
		case u.Scheme == "http" && !isLoopbackName(n.hostname) || !strings.EqualFold(u.Scheme, asked.Scheme):
			t.Errorf("%q: is asked by %s", server, u.Scheme)
		case path.Clean(u.Path) != u.Path || !strings.HasSuffix(u.Path, "/v2/"+gun+"/_trust/tuf/"+name) || strings.Count(u.Path, "/_trust/") != 1:
			t.Errorf("%q of %q: is asked for as %s", name, gun, u.Path)
		}
	})
}
