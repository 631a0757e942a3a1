package trust

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	oidCN = "2.5.4.3"
	oidO  = "2.5.4.10"
	oidOU = "2.5.4.11"
)

func TestT10_ParseDN(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []DNAttribute // nil: an error
	}{
		"one attribute":                    {"CN=GitLab CI", []DNAttribute{{oidCN, "GitLab CI"}}},
		"types in any case":                {"cn=a,Ou=b", []DNAttribute{{oidCN, "a"}, {oidOU, "b"}}},
		"an object identifier":             {"2.5.4.3=a", []DNAttribute{{oidCN, "a"}}},
		"spaces around":                    {" CN = a , O = b c ", []DNAttribute{{oidCN, "a"}, {oidO, "b c"}}},
		"escaped spaces":                   {`CN=\ a\ ,O=b`, []DNAttribute{{oidCN, " a "}, {oidO, "b"}}},
		"multi-valued":                     {"OU=b+CN=a,O=c", []DNAttribute{{oidOU, "b"}, {oidCN, "a"}, {oidO, "c"}}},
		"escapes":                          {`CN=a\,b\+c\"d\\e\<f\>g\;h\=i\#j`, []DNAttribute{{oidCN, `a,b+c"d\e<f>g;h=i#j`}}},
		"escaped octets":                   {`CN=Lu\C4\8Di\C4\87`, []DNAttribute{{oidCN, "Lučić"}}},
		"Unicode":                          {"CN=Büro 日本", []DNAttribute{{oidCN, "Büro 日本"}}},
		"an equals sign in the value":      {"CN=a=b", []DNAttribute{{oidCN, "a=b"}}},
		"a hash inside the value":          {"CN=a#b", []DNAttribute{{oidCN, "a#b"}}},
		"an escaped hash first":            {`CN=\#0c0161`, []DNAttribute{{oidCN, `\#0c0161`}}},
		"a text in DER":                    {"1.2.840.113549.1.9.1=#0c03614062", []DNAttribute{{"1.2.840.113549.1.9.1", "a@b"}}},
		"a number in DER":                  {"1.2.3=#020105", []DNAttribute{{"1.2.3", "#020105"}}},
		"an empty value":                   {"CN=", []DNAttribute{{oidCN, ""}}},
		"an empty value in the middle":     {"CN=,O=a", []DNAttribute{{oidCN, ""}, {oidO, "a"}}},
		"a zero octet":                     {`CN=a\00b`, []DNAttribute{{oidCN, "a\x00b"}}},
		"nothing":                          {"", nil},
		"spaces":                           {"  ", nil},
		"no equals sign":                   {"CN", nil},
		"an unknown type":                  {"XX=a", nil},
		"no type":                          {"=a", nil},
		"an identifier of one arc":         {"1=a", nil},
		"an identifier with a zero before": {"1.02=a", nil},
		"an identifier with an empty arc":  {"1..2=a", nil},
		"a comma at the end":               {"CN=a,", nil},
		"a comma at the beginning":         {",CN=a", nil},
		"two commas":                       {"CN=a,,O=b", nil},
		"a plus at the end":                {"CN=a+", nil},
		"an old separator":                 {"CN=a;O=b", nil},
		"quotes":                           {`CN="a,b"`, nil},
		"a backslash at the end":           {`CN=a\`, nil},
		"a backslash before a letter":      {`CN=a\x`, nil},
		"half an octet":                    {`CN=a\4`, nil},
		"octets that are no UTF-8":         {`CN=\ff`, nil},
		"DER with an odd digit":            {"CN=#0c016", nil},
		"DER that is cut":                  {"CN=#0c05", nil},
		"DER with more behind it":          {"CN=#0c016100", nil},
		"DER of nothing":                   {"CN=#", nil},
		"the form with slashes":            {"/C=DE/CN=a", nil},
		"too many attributes":              {strings.Repeat("CN=a,", maxAttributes) + "CN=a", nil},
		"too long":                         {"CN=" + strings.Repeat("a", maxDN), nil},
		"very many separators":             {strings.Repeat("+", 1<<20), nil},
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			got, err := ParseDN(c.text)
			if (err == nil) != (c.want != nil) {
				t.Fatalf("error = %v, want attributes %v", err, c.want)
			}
			if diff := cmp.Diff(c.want, got.Attributes()); c.want != nil && diff != "" {
				t.Error(diff)
			}
			if d := time.Since(started); d > time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func TestT10_DNEquality(t *testing.T) {
	for name, c := range map[string]struct {
		a, b              string
		equal, attributes bool
	}{
		"the same":                        {"CN=a,O=b", "CN=a,O=b", true, true},
		"other spelling of types":         {"CN=a,O=b", "2.5.4.3=a, o=b", true, true},
		"other escapes":                   {`CN=a\2Cb`, `CN=a\,b`, true, true},
		"a text and its DER":              {"E=a@b", "1.2.840.113549.1.9.1=#1603614062", true, true},
		"order in a multi-valued part":    {"CN=a+OU=b", "OU=b+CN=a", true, true},
		"reversed":                        {"CN=a,O=b", "O=b,CN=a", false, true},
		"other grouping":                  {"OU=a+OU=b", "OU=a,OU=b", false, true},
		"a part is missing":               {"CN=a,O=b", "CN=a", false, false},
		"a part more often":               {"OU=a,OU=a", "OU=a", false, false},
		"another value":                   {"CN=a", "CN=b", false, false},
		"another case":                    {"CN=a", "CN=A", false, false},
		"a longer value":                  {"CN=acme", "CN=acme-evil", false, false},
		"another type":                    {"CN=a", "O=a", false, false},
		"the separator inside the value":  {"CN=a,O=b", `CN=a\,O=b`, false, false},
		"the plus inside the value":       {"CN=a+O=b", `CN=a\+O=b`, false, false},
		"a text that looks like DER":      {`CN=\#020105`, "CN=#020105", false, false},
		"a text that looks like the mark": {`CN=\\\#020105`, `CN=\#020105`, false, false},
		"an empty value and none":         {"CN=,O=b", "O=b", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, errA := ParseDN(c.a)
			b, errB := ParseDN(c.b)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if got := a.Equal(b); got != c.equal || b.Equal(a) != got {
				t.Errorf("Equal = %v, want %v", got, c.equal)
			}
			if got := a.SameAttributes(b); got != c.attributes || b.SameAttributes(a) != got {
				t.Errorf("SameAttributes = %v, want %v", got, c.attributes)
			}
		})
	}
	if (DN{}).Equal(DN{}) || (DN{}).SameAttributes(DN{}) {
		t.Error("the zero name equals something")
	}
}

// What Go prints for a certificate can be read back, whatever stands in the name.
func TestT10_ReadsWhatGoPrints(t *testing.T) {
	check := func(cn, o, ou1, ou2, mail string) bool {
		name := pkix.Name{CommonName: cn, Organization: []string{o}, OrganizationalUnit: []string{ou1, ou2},
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: mail}}}
		dn, err := ParseDN(name.String())
		if err != nil {
			t.Logf("%q: %v", name.String(), err)
			return false
		}
		return dn.Equal(dn) && dn.SameAttributes(dn) && len(dn.Attributes()) >= 3
	}
	for _, s := range []string{"", " ", "  a  ", "#", `\`, `\\`, `"`, "a,b", "a+b", "a=b", ";<>", "\x00", "日本", "\xff", "#0c0161"} {
		if !check(s, s, s, "x", s) {
			t.Errorf("%q is not read back", s)
		}
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"CN=a,O=b", `CN=\ a\,+OU=#0c0161`, "2.5.4.3=#020105", "CN=a;b", `CN=\C3\A4`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		dn, err := ParseDN(s)
		if err != nil {
			return
		}
		if n := len(dn.Attributes()); n == 0 || n > maxAttributes || !dn.Equal(dn) || !dn.SameAttributes(dn) {
			t.Errorf("ParseDN(%q) = %+v", s, dn)
		}
	})
}
