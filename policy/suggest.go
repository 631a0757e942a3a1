package policy

import (
	"fmt"
	"strings"
)

// maxSuggested is the length of the longest word, in bytes, that is compared with the known ones.
const maxSuggested = 64

// didYouMean returns a hint that names the candidate nearest to word, or else lists the candidates under a heading.
func didYouMean(word, heading string, candidates []string) string {
	if best := nearest(word, candidates); best != "" {
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

// nearest returns the candidate with the fewest edits from word, if they are few enough to be a slip.
func nearest(word string, candidates []string) string {
	if len(word) > maxSuggested {
		return ""
	}
	best, fewest := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if len(c) > maxSuggested {
			continue
		}
		if n := distance(strings.ToLower(word), strings.ToLower(c)); n < fewest {
			best, fewest = c, n
		}
	}
	return best
}

// distance is the number of bytes to add, to remove, to change, or to exchange with their neighbour that makes b of a.
func distance(a, b string) int {
	older, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], older[j-1]+1)
			}
		}
		older, row, next = row, next, older
	}
	return row[len(b)]
}
