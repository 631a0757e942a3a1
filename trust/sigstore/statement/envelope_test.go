package statement

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust"
)

func TestEnvelopesOfCosign(t *testing.T) {
	for envelope, payload := range map[string]string{
		"envelope-cosign2-vuln.json": "statement-cosign2-vuln.json",
		"envelope-cosign3-sign.json": "statement-cosign3-sign.json",
	} {
		e, err := ParseEnvelope(vector(t, envelope))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(e.Payload), string(vector(t, payload)); got != want {
			t.Errorf("payload = %s, want %s", got, want)
		}
		if len(e.Signature) < 64 || e.PayloadType != PayloadType {
			t.Errorf("envelope = %+v", e)
		}
	}
}

// The example of DSSE's protocol.md.
func TestPAE(t *testing.T) {
	e := Envelope{PayloadType: "http://example.com/HelloWorld", Payload: []byte("hello world")}
	if got, want := string(e.PAE()), "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseEnvelope(t *testing.T) {
	payload := base64.StdEncoding.EncodeToString([]byte("\xfb\xff?>"))
	of := func(kind, payload, signatures string) string {
		return `{"payloadType":"` + kind + `","payload":"` + payload + `","signatures":[` + signatures + `]}`
	}
	const one = `{"keyid":"k","sig":"c2ln"}`
	tests := []struct {
		name, envelope string
		want           string // part of the refusal, "" for none
	}{
		{"base64", of(PayloadType, payload, one), ""},
		{"base64 of URLs", of(PayloadType, strings.NewReplacer("+", "-", "/", "_").Replace(payload), one), ""},
		{"base64 without padding", of(PayloadType, strings.TrimRight(payload, "="), one), ""},
		{"no key", of(PayloadType, payload, `{"sig":"c2ln"}`), ""},
		{"an unknown member", strings.Replace(of(PayloadType, payload, one), "{", `{"x":1,`, 1), ""},
		{"T16: another payload type", of("application/vnd.in-toto+xml", payload, one), "is not"},
		{"T16: no payload type", `{"payload":"` + payload + `","signatures":[` + one + `]}`, `has no member "payloadType"`},
		{"T16: no payload", of(PayloadType, "", one), "payload: is empty"},
		{"T16: broken", `{`, "malformed JSON"},
		{"T16: a payload that is no base64", of(PayloadType, "!", one), "payload: illegal base64"},
		{"a payload with a line break", of(PayloadType, payload[:4]+`\n`+payload[4:], one), "has a line break"},
		{"a payload with bits to spare", of(PayloadType, "QQ", one), ""},
		{"a payload with bits that nobody reads", of(PayloadType, "QR", one), "illegal base64"},
		{"two alphabets", of(PayloadType, "-_+/", one), "illegal base64"},
		{"T14: no signature", of(PayloadType, payload, ""), "has 0 signatures"},
		{"T14: an empty signature", of(PayloadType, payload, `{"sig":""}`), "sig: is empty"},
		{"T14: a signature of nothing", of(PayloadType, payload, `{}`), `has no member "sig"`},
		{"T14: no signatures", `{"payloadType":"` + PayloadType + `","payload":"` + payload + `"}`, `has no member "signatures"`},
		{"two signatures", of(PayloadType, payload, one+","+one), "has 2 signatures"},
		{"signatures that are no list", `{"payloadType":"` + PayloadType + `","payload":"` + payload + `","signatures":` + one + `}`, "is no JSON array"},
		{"a key that is no text", of(PayloadType, payload, `{"keyid":1,"sig":"c2ln"}`), "keyid: is no text"},
		{"T31: a payload twice", strings.Replace(of(PayloadType, payload, one), "{", `{"payload":"QQ",`, 1), "twice"},
		{"T31: a payload in another case", strings.Replace(of(PayloadType, payload, one), "{", `{"Payload":"QQ",`, 1), "some readers take"},
		{"T43: too long", of(PayloadType, strings.Repeat("A", trust.MaxEvidence), one), "are allowed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := ParseEnvelope([]byte(test.envelope))
			checkNo(t, err, test.want)
			if err == nil && (len(e.Payload) == 0 || string(e.Signature) != "sig") {
				t.Errorf("envelope = %+v", e)
			}
		})
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add(vector(f, "envelope-cosign2-vuln.json"))
	f.Add(vector(f, "envelope-cosign3-sign.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEnvelope(data)
		if err != nil {
			if !trust.IsNo(err) {
				t.Errorf("error = %v, want a no", err)
			}
			return
		}
		if e.PayloadType != PayloadType || len(e.Payload) == 0 || len(e.Signature) == 0 {
			t.Errorf("envelope = %+v", e)
		}
		if !strings.HasSuffix(string(e.PAE()), string(e.Payload)) {
			t.Errorf("PAE = %q", e.PAE())
		}
	})
}
