package spire

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDockerAnswers: whatever an engine answers, there are selectors that can be sent, in the order of the page, or none, or an error; and what
// is demanded is demanded.
func FuzzDockerAnswers(f *testing.F) {
	for _, container := range []string{
		web, `{}`, `{"Config":null}`, `{"Config":{"Labels":null,"Env":[null]}}`, `{"Config":{"Labels":{"a":1}}}`, `{"Config":{"Labels":{"\ud800":"\u0000"}}}`,
		`{"Config":{"Env":["","="]}}`, `{"Image":"../../info"}`, `{"Image":"` + conf + `","image":"x","Config":{"Image":"a"},"config":{}}`, `[]`, `null`, `"x"`, `{"Id":7}`,
		"{\"Config\":{\"Image\":\"\xff\"}}", strings.Repeat(`{"Config":`, 1000),
	} {
		f.Add(container, webImage)
	}
	for _, image := range []string{`{}`, `null`, `{"RepoDigests":[null,"",7]}`, `{"Id":""}`, `{"Id":{}}`, "{\"Id\":\"\xff\"}"} {
		f.Add(web, image)
	}
	d, p := startDaemon(f), &processes{}
	p.set(7, 70, inDocker(idA))
	proved := "image-signature:verified"
	f.Fuzz(func(t *testing.T, container, image string) {
		d.run(idA, container)
		d.image(conf, image)
		var asked *Subject
		verifier := verifierFunc(func(ctx context.Context, s Subject) ([]string, error) {
			asked = &s
			return []string{proved}, nil
		})
		s, err := configure(attestor(p, verifier), `docker_socket_path = "`+d.host()+`" sigstore {}`, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		values, err := s.Attest(t.Context(), 7)
		switch {
		case err != nil && values != nil:
			t.Fatalf("both of %q and %v", values, err)
		case err != nil:
			return
		case asked == nil:
			t.Fatalf("%q without a proof", values)
		}
		kinds := []string{"label:", "env:", "image_id:", "image_config_digest:", proved}
		for _, v := range values {
			for len(kinds) > 0 && !strings.HasPrefix(v, kinds[0]) {
				kinds = kinds[1:]
			}
			if len(kinds) == 0 || !utf8.ValidString(v) {
				t.Fatalf("%q in %q", v, values)
			}
		}
	})
}
