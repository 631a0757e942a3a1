package wire_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine/wire"
)

// maxGrown is how much memory bytes may take that are refused.
const maxGrown = 64 << 20

// allocated is how many bytes fn takes from memory, returned or not.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// T43: a few bytes for each value do not become a structure for each value.
func TestT43_ValuesThatGrow(t *testing.T) {
	for _, value := range []string{`{}`, `null`, `0`, `""`, `[]`} {
		many := func(limit int) string { return strings.Repeat(value+",", limit/(len(value)+1)-60) + value }
		body := `{"form":1,"questions":[` + many(wire.MaxQuestionsBody) + `]}`
		if grown := allocated(func() {
			if _, err := wire.DecodeQuestions([]byte(body)); err == nil {
				t.Errorf("questions %s were read", value)
			}
		}); grown > maxGrown {
			t.Errorf("questions %s: %d bytes take %d MiB", value, len(body), grown>>20)
		}
		for _, list := range []string{`{"allowed":false,"decision":{"outcome":"denied","authorities":[`, `{"allowed":false,"decision":{"outcome":"denied"},"also":[`} {
			end := strings.Repeat("}", strings.Count(list, "{")-strings.Count(list, "}"))
			body := `{"form":1,"verdicts":[` + list + many(wire.MaxVerdict-len(list)) + `]` + end + `]}`
			if grown := allocated(func() {
				if _, err := wire.DecodeVerdicts([]byte(body), 1); err == nil {
					t.Errorf("%s%s was read", list, value)
				}
			}); grown > maxGrown {
				t.Errorf("%s%s: %d bytes take %d MiB", list, value, len(body), grown>>20)
			}
		}
	}
	labels := `{"form":1,"questions":[{"image":"a","point":"cli","namespaceLabels":{"a\"":"\\","b":",,[[{{` + strings.Repeat(`,\"`, wire.MaxValues) + `"}}]}`
	if _, err := wire.DecodeQuestions([]byte(labels)); err != nil {
		t.Errorf("what stands in texts was counted: %v", err)
	}
}

// Bytes that JSON reads as a sign in their place are no text that anybody wrote.
func TestTextsAreUTF8(t *testing.T) {
	if _, err := wire.DecodeQuestions([]byte(`{"form":1,"questions":[{"image":"a` + "\xff" + `","point":"cli"}]}`)); err == nil {
		t.Error("a question was read")
	}
	if _, err := wire.DecodeVerdicts([]byte(`{"form":1,"verdicts":[{"image":"a`+"\xff"+`","allowed":false,"decision":{"outcome":"denied"}}]}`), 1); err == nil {
		t.Error("a verdict was read")
	}
}
