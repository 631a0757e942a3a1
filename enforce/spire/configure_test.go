package spire_test

import (
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/proto/attestorv1"
	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
)

// A configuration whose files hang ends in time, leaves the one before in force, and does not come into force afterwards; nor does the next one
// wait for it without an end.
func TestPLUGIN15_FilesThatHang(t *testing.T) {
	shared := spire.New(spire.NewLog(io.Discard))
	p := newProbe(shared)
	s := spire.NewServer(spire.Config{Plugin: shared, Attestor: p})
	defer s.Close()
	request := func(hcl string) *configv1.ConfigureRequest {
		return &configv1.ConfigureRequest{CoreConfiguration: &configv1.CoreConfiguration{TrustDomain: "example.org"}, HclConfiguration: hcl}
	}
	if _, err := s.Configure(soon(t), request("v1")); err != nil {
		t.Fatal(err)
	}
	selectors := func() string {
		t.Helper()
		answer, err := s.Attest(soon(t), &attestorv1.AttestRequest{Pid: pidOfThisWorkload})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetSelectorValues()[0]
	}
	before := selectors()
	spire.SetConfigurePatience(s, 20*time.Millisecond)
	_, err := s.Configure(soon(t), request("v2 hang-make"))
	refused(t, err, codes.Unavailable, "could not tell, try again: the files that the configuration names could not be read within 20ms")
	_, err = s.Configure(soon(t), request("v3"))
	refused(t, err, codes.Unavailable, "could not tell, try again: another configuration is still being read")
	if got := selectors(); got != before {
		t.Errorf("%q instead of %q", got, before)
	}
	close(p.released)
	spire.SetConfigurePatience(s, 10*time.Second)
	if _, err := s.Configure(soon(t), request("v4")); err != nil { // waits for the one that was late
		t.Fatal(err)
	}
	if got := p.closed.Load(); got < 1 {
		t.Error("what was made too late is still open")
	}
	if got := selectors(); got == before {
		t.Errorf("%q is still in force", got)
	}
}
