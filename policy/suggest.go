package policy

import (
	"fmt"
	"strings"

	"github.com/assay-dev/assay/spelling"
)

// didYouMean returns a hint that names the candidate nearest to word, or else lists the candidates under a heading.
func didYouMean(word, heading string, candidates []string) string {
	if best := spelling.Nearest(word, candidates); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if len(candidates) == 0 {
		return ""
	}
	const most = 20
	shown := candidates
	if len(shown) > most {
		shown = append(append([]string{}, shown[:most]...), "…")
	}
	return heading + strings.Join(shown, ", ")
}
