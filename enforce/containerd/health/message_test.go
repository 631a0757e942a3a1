package health

import "testing"

func FuzzMessage(f *testing.F) {
	f.Add([]byte(message{}.with(1, "a").nest(3, message{}.with(2, "b"))))
	f.Add([]byte{0x18, 0x90, 0x03}) // field 3, 400
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := message(data)
		all, err := m.all(1)
		_, other := m.number(1)
		if (err == nil) != (other == nil) {
			t.Errorf("readable for one and not for the other: %v, %v", err, other)
		}
		total := 0
		for _, v := range all {
			total += len(v)
		}
		if total > len(data) {
			t.Errorf("%d bytes of %d", total, len(data))
		}
		if _, err := decodeImage(m); err == nil && other != nil {
			t.Error("an image of an unreadable message")
		}
	})
}
