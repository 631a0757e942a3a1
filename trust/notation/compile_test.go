package notation

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

type tenant struct{ trusttest.Section }

func (tenant) Namespace() string { return "team" }

// A section that proves nothing, or that means something else than it says, is refused when it is loaded.
func TestSectionsThatAreRefused(t *testing.T) {
	root, leaf := issue(t, nil), issue(t, issue(t, nil))
	for name, c := range map[string]struct {
		edit func(*Options)
		want string
	}{
		"nothing":           {func(o *Options) { *o = Options{} }, "trustStores: there is no certificate that counts"},
		"time stamps alone": {func(o *Options) { o.TrustStores = TrustStores{TSA: o.TrustStores.CA} }, "trustStores: there is no certificate that counts"},
		"stamps for nothing": {func(o *Options) {
			o.TrustStores = TrustStores{TSA: o.TrustStores.CA, SigningAuthority: o.TrustStores.CA}
		}, "trustStores.tsa: time stamps are looked at"},
		"tsa no authority":      {func(o *Options) { o.TrustStores.TSA = []StoreOptions{{PEM: leaf.pem()}} }, "trustStores.tsa: certificate"},
		"empty store":           {func(o *Options) { o.TrustStores.CA = []StoreOptions{{}} }, "trustStores.ca[0]: wants exactly one"},
		"file and pem":          {func(o *Options) { o.TrustStores.CA[0].File = "f" }, "trustStores.ca[0]: wants exactly one"},
		"no such file":          {func(o *Options) { o.TrustStores.CA[0] = StoreOptions{File: "f"} }, "trustStores.ca[0].file: read f"},
		"no certificate":        {func(o *Options) { o.TrustStores.CA[0].PEM = "x" }, "trustStores.ca[0]: holds no certificate"},
		"half a certificate":    {func(o *Options) { o.TrustStores.CA[0].PEM += "-----BEGIN CERTIFICATE-----\n" }, "1 of 2 PEM blocks are malformed"},
		"too many certificates": {func(o *Options) { o.TrustStores.CA[0].PEM = strings.Repeat(o.TrustStores.CA[0].PEM, maxTrusted+1) }, "at most 500"},
		"too many in two": {func(o *Options) {
			o.TrustStores.CA[0].PEM = strings.Repeat(o.TrustStores.CA[0].PEM, maxTrusted)
			o.TrustStores.CA = append(o.TrustStores.CA, o.TrustStores.CA[0])
		}, "at most 500"},
		"no identity":          {func(o *Options) { o.Identities = nil }, "identities: nobody is named"},
		"anybody":              {func(o *Options) { o.Identities = []string{"*"} }, "identities[0]: * lets everybody sign"},
		"anybody and somebody": {func(o *Options) { o.InsecureAnyIdentity = true }, "insecureAnyIdentity: identities would not"},
		"many identities":      {func(o *Options) { o.Identities = make([]string, maxIdentities+1) }, "identities: 101 identities"},
		"permissive":           {func(o *Options) { o.Level = "permissive" }, "level: permissive is called insecurePermissive"},
		"audit":                {func(o *Options) { o.Level = "audit" }, "level: audit proves nothing"},
		"skip":                 {func(o *Options) { o.Level = "skip" }, "level: skip proves nothing"},
		"level":                {func(o *Options) { o.Level = "x" }, "level: \"x\" is unknown"},
		"log":                  {func(o *Options) { o.Revocation = "log" }, "revocation: log is called insecureLog"},
		"skip revocation":      {func(o *Options) { o.Revocation = "skip" }, "revocation: skip is called insecureSkip"},
		"skip expiry":          {func(o *Options) { o.Expiry = "insecureSkip" }, "expiry: \"insecureSkip\" is unknown"},
		"timestamp":            {func(o *Options) { o.AuthenticTimestamp = "x" }, "authenticTimestamp: \"x\" is unknown"},
		"when":                 {func(o *Options) { o.VerifyTimestamp = "x" }, "verifyTimestamp: \"x\" is unknown"},
		"when without tsa":     {func(o *Options) { o.VerifyTimestamp = "always" }, "verifyTimestamp: time stamps are looked at with a tsa store only"},
	} {
		a, err := New(Config{}).New(trusttest.Section{Options: options(root, c.edit)})
		if err == nil || a != nil || !strings.Contains(err.Error(), "section."+strings.TrimPrefix(c.want, "section.")) && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// T27: one process may have heard of a revocation that another one has not heard of yet, so that proofs are not shared, unless nobody asks.
func TestT27_RevocationIsNotShared(t *testing.T) {
	root := issue(t, nil)
	for word, shared := range map[string]bool{"": false, "enforce": false, "insecureLog": false, "insecureSkip": true} {
		a, err := New(Config{}).New(trusttest.Section{Options: options(root, func(o *Options) { o.Revocation = word })})
		if err != nil {
			t.Fatal(err)
		}
		if got := !a.(trust.Unshared).Unshared(); got != shared {
			t.Errorf("revocation %q: shared %v, want %v", word, got, shared)
		}
	}
}

// T38: a namespace's policy does not aim requests.
func TestT38_NamespacesAskNoServers(t *testing.T) {
	root := issue(t, nil)
	for word, ok := range map[string]bool{"": false, "enforce": false, "insecureLog": false, "insecureSkip": true} {
		_, err := New(Config{}).New(tenant{trusttest.Section{Options: options(root, func(o *Options) { o.Revocation = word })}})
		if (err == nil) != ok {
			t.Errorf("revocation %q: %v", word, err)
		}
	}
}
