package shared

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// keysOf is a file of keys, each of one byte repeated.
func keysOf(t testing.TB, bytesOf ...byte) Keys {
	t.Helper()
	var file strings.Builder
	for _, b := range bytesOf {
		fmt.Fprintln(&file, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, keySize)))
	}
	k, err := ParseKeys([]byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKeys(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, keySize))
	short := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, keySize-1))
	for name, c := range map[string]struct {
		file string
		keys int
		want string
	}{
		"one":             {good + "\n", 1, ""},
		"no line end":     {good, 1, ""},
		"two, commented":  {"# new\n" + good + "\r\n\n# old\n" + good + "\n", 2, ""},
		"nothing":         {"", 0, "holds no key"},
		"only comments":   {"# x\n", 0, "holds no key"},
		"too short":       {short, 0, "line 1: want base64 of 32"},
		"no base64":       {good + "\nhunter2", 0, "line 2: want base64 of 32"},
		"hexadecimal":     {strings.Repeat("07", keySize), 0, "want base64"},
		"all zero":        {base64.StdEncoding.EncodeToString(make([]byte, keySize)), 0, "all zero"},
		"too long":        {strings.Repeat("#\n", MaxKeyFile/2) + good, 0, "more than 4096 bytes"},
		"too many":        {strings.Repeat(good+"\n", MaxKeys+1), 0, "more than 4"},
		"no strict bits":  {good[:42] + "d=", 0, "want base64"},
		"two on one line": {good + good, 0, "want base64"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKeys([]byte(c.file))
			if len(k.list) != c.keys || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d keys, %v; want %d and %q", len(k.list), err, c.keys, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the file: %v", err)
			}
		})
	}
	if k := keysOf(t, 7); strings.Contains(fmt.Sprintf("%v %+v %#v %s", k, k, k, k), "7") {
		t.Errorf("%#v", k)
	}
}

var question = engine.SharedKey{
	Authority: strings.Repeat("a", 64) + "/release", Version: "v1", Name: "registry.example/shop/app", Tag: "1",
	Digest: image.MustParseDigest("sha256:" + strings.Repeat("1", 64)), Every: true,
}

// Each part of a question, the program's version and the key make another name, and no two questions are one text.
func TestT27_NamesTellQuestionsApart(t *testing.T) {
	one, two := keysOf(t, 1).list[0], keysOf(t, 2).list[0]
	seen := map[string]string{}
	note := func(what, name string) {
		t.Helper()
		if before, found := seen[name]; found {
			t.Errorf("%s and %s have one name", what, before)
		}
		seen[name] = what
		if len(name) != len("assay:")+64 {
			t.Errorf("%s: %q", what, name)
		}
	}
	note("the question", one.name("1.0", question))
	note("another key", two.name("1.0", question))
	note("another program", one.name("1.1", question))
	v := reflect.ValueOf(question)
	for i := range v.NumField() {
		changed := question
		f := reflect.ValueOf(&changed).Elem().Field(i)
		switch f.Interface().(type) {
		case string:
			f.SetString(f.String() + "x")
		case bool:
			f.SetBool(!f.Bool())
		case image.Digest:
			f.Set(reflect.ValueOf(image.SHA256(nil)))
		default:
			t.Fatalf("%s: a field that this test does not know", v.Type().Field(i).Name)
		}
		note(v.Type().Field(i).Name, one.name("1.0", changed))
	}
	moved := question // the same letters, in other fields
	moved.Name, moved.Tag = moved.Name+moved.Tag, ""
	note("letters that moved", one.name("1.0", moved))
	moved = question
	moved.Authority, moved.Version = moved.Authority+"2", "v1"[1:]
	note("letters that moved back", one.name("1.0", moved))
	if one.name("1.0", question) != keysOf(t, 1).list[0].name("1.0", question) {
		t.Error("another process has another name")
	}
}

// filled sets every field of a value to something.
func filled(v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, *n*1_000, time.FixedZone("", 3600))))
	case v.Type() == reflect.TypeFor[image.Digest]():
		v.Set(reflect.ValueOf(image.SHA256(fmt.Append(nil, *n))))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			filled(v.Field(i), n)
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			filled(v.Index(i), n)
		}
	case v.Kind() == reflect.String:
		v.SetString(fmt.Sprintf("<text> & \u2028 %d", *n))
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(int64(*n) << 40)
	case v.CanUint():
		v.SetUint(uint64(*n % 256))
	default:
		panic(v.Type().String())
	}
}

// filledAnswer is an answer with something in every field, now and in what proofs will have one day.
func filledAnswer() engine.SharedAnswer {
	var a engine.SharedAnswer
	n := 0
	filled(reflect.ValueOf(&a).Elem(), &n)
	return a
}

// Nothing of a proof is lost on the way: revocations and thresholds look at all of it.
func TestT27_AnEntryHasAllOfAProof(t *testing.T) {
	s := keysOf(t, 1).list[0]
	a := filledAnswer()
	text, err := encode(a)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := s.seal("name", text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.read("name", entry)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, got, cmp.Comparer(func(a, b image.Digest) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	again, err := s.seal("name", text)
	if err != nil || bytes.Equal(entry, again) || bytes.Equal(entry[1:1+saltSize], again[1:1+saltSize]) {
		t.Error("two entries have one salt")
	}
	for _, plain := range []string{"text", "Signers", "proofs", got.Proofs[0].Digest.Hex()[:16]} {
		if bytes.Contains(entry, []byte(plain)) {
			t.Errorf("whoever reads the cache reads %q", plain)
		}
	}
}

// What JSON would change is not kept: a name that is not what it was could miss its revocation.
func TestT27_TextsThatAreNoUTF8AreNotKept(t *testing.T) {
	for name, change := range map[string]func(*trust.Proof){
		"a name":      func(p *trust.Proof) { p.Signers[0].Names[1] = "a\xffb" },
		"an issuer":   func(p *trust.Proof) { p.Signers[0].Chain[1].Issuer = "CN=\xc3" },
		"an identity": func(p *trust.Proof) { p.Signers[1].Identity.Subject = "\xff" },
		"a role":      func(p *trust.Proof) { p.Signers[1].Role = "\xff" },
	} {
		a := filledAnswer()
		change(&a.Proofs[1])
		if _, err := encode(a); err == nil {
			t.Errorf("%s: is kept", name)
		}
	}
	a := filledAnswer()
	a.Proofs[0].Signers[0].Signature = []byte{0xff, 0xfe} // bytes are no text
	if _, err := encode(a); err != nil {
		t.Error(err)
	}
}

// Whoever can write to the cache has no entry that counts, unless it was made under that name, in that form, with a key of the installation.
func TestT27_ForgedEntries(t *testing.T) {
	s, other := keysOf(t, 1).list[0], keysOf(t, 2).list[0]
	text, err := encode(filledAnswer())
	if err != nil {
		t.Fatal(err)
	}
	seal := func(s secret, name, text string) []byte {
		entry, err := s.seal(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return entry
	}
	good := seal(s, "name", string(text))
	if _, err := s.read("name", good); err != nil {
		t.Fatal(err)
	}
	changed := func(i int) []byte {
		e := bytes.Clone(good)
		e[i] ^= 1
		return e
	}
	rows := map[string][]byte{
		"nothing":                {},
		"one byte":               {form},
		"a salt":                 good[:1+saltSize],
		"truncated":              good[:len(good)-1],
		"half":                   good[:len(good)/2],
		"longer":                 append(bytes.Clone(good), 0),
		"twice":                  append(bytes.Clone(good), good...),
		"another key":            seal(other, "name", string(text)),
		"another question":       seal(s, "name2", string(text)),
		"another form":           append([]byte{form + 1}, good[1:]...),
		"plain":                  text,
		"too large":              seal(s, "name", string(text)+strings.Repeat(" ", MaxEntry)), // which JSON would allow
		"no JSON":                seal(s, "name", "hello"),
		"no content":             seal(s, "name", ""),
		"an empty object":        seal(s, "name", "{}"),
		"null":                   seal(s, "name", "null"),
		"a field more":           seal(s, "name", strings.Replace(string(text), `{"checked"`, `{"x":1,"checked"`, 1)),
		"a field more in proofs": seal(s, "name", strings.Replace(string(text), `"Signers"`, `"x":1,"Signers"`, 1)),
		"more behind":            seal(s, "name", string(text)+"{}"),
		"another type":           seal(s, "name", strings.Replace(string(text), `"proofs":[`, `"proofs":["x",`, 1)),
		"no proofs":              seal(s, "name", `{"checked":"2026-01-01T00:00:00Z","until":"2026-01-01T00:00:00Z","proofs":[]}`),
	}
	for i := range good {
		rows[fmt.Sprintf("byte %d", i)] = changed(i)
	}
	for name, entry := range rows {
		if _, err := s.read("name", entry); err == nil {
			t.Errorf("%s: counts", name)
		}
	}
}

func FuzzEntry(f *testing.F) {
	s := keysOf(f, 1).list[0]
	text, err := encode(filledAnswer())
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := s.seal("name", text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, text)
	f.Add([]byte{form}, []byte("{}"))
	f.Fuzz(func(t *testing.T, entry, other []byte) {
		if opened, err := s.open("name", entry); err == nil && !bytes.Equal(opened, text) { // which alone was sealed, perhaps by another process
			t.Error("an entry that was forged counts")
		}
		a, err := decode(other) // as one who has a key could write it
		if err != nil {
			return
		}
		if len(a.Proofs) == 0 || a.Checked.IsZero() || a.Until.IsZero() {
			t.Errorf("%+v", a)
		}
		if again, err := encode(a); err == nil {
			if _, err := decode(again); err != nil {
				t.Errorf("%s: %v", again, err)
			}
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"$3\r\nabc\r\n", "$-1\r\n", "+OK\r\n", "-ERR x\r\n", "$99999999999\r\n", "*1\r\n$1\r\na\r\n", "$3\r\nabcd\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		c := newConn(&spoken{Reader: bytes.NewReader(answer)})
		r, err := c.ask(100, []string{"GET", "a"})
		if err == nil && len(r[0].bytes) > max(100, maxLine) {
			t.Errorf("%d bytes", len(r[0].bytes))
		}
	})
}
