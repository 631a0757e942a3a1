package notaryv1

import (
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
)

// T26: what is kept was perhaps seen with another one's login, so that it stands for a server that is down only for those without one of
// their own.
func TestT26_AnOutageIsNotBridgedForATenant(t *testing.T) {
	r := newRepository()
	w := bridging(r, day)
	if _, err := w.decide(t, w.authority(t), app); err != nil {
		t.Fatal(err)
	}
	w.clock = w.clock.Add(time.Minute)
	for entry, bridged := range map[string]bool{"notary.example:4443": false, "other.example": true, "notary.example:4443/team": true} {
		one, err := trust.ReadDockerConfig([]byte(`{"auths":{"` + entry + `":{"username":"ann","password":"a"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		logins, err := trust.NewLogins(nil, one...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.authority(t).Find(trust.WithLogins(t.Context(), logins), down{w, errRefused}, app)
		if (err == nil) != bridged || err != nil && (trust.IsNo(err) || !is(err, trust.ErrUnavailable)) {
			t.Errorf("login for %s: got %v, want it bridged: %v", entry, err, bridged)
		}
	}
	if got := w.authority(t).Servers(); len(got) != 1 || got[0] != "notary.example:4443" {
		t.Errorf("servers: %q", got)
	}
}
