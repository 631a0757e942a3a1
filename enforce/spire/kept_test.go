package spire

import "testing"

func TestKept(t *testing.T) {
	closed := 0
	k := keep("client", "key", func() { closed++ })
	if k.share("another key") || !k.share("key") {
		t.Fatal("shared by the wrong key, or not by its own")
	}
	k.release()
	if closed != 0 {
		t.Error("closed while somebody uses it")
	}
	k.release()
	if closed != 1 || k.share("key") {
		t.Errorf("closed %d times; shared after it was closed", closed)
	}
	var none *kept[string]
	none.release()
	if none.share("") {
		t.Error("nothing is shared")
	}
}
