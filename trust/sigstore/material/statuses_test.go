package material

import "testing"

func TestStatuses(t *testing.T) {
	k, _ := keeperAt(t, now)
	if got := k.Statuses(now); len(got) != 0 {
		t.Errorf("nothing was asked for, got %+v", got)
	}
	k.PublicGood(0)
	k.PublicGood(day)
	got := k.Statuses(now)
	if len(got) != 1 || got[0].Name != PublicGoodMirror || got[0].Age <= 0 || !got[0].Stale {
		t.Errorf("got %+v", got)
	}
}
