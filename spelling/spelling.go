// Package spelling finds the word that somebody meant who wrote another one.
package spelling

import "strings"

// longest is the length of the longest word, in bytes, that is compared: time and memory grow with the product of two lengths.
const longest = 64

// Nearest returns the candidate with the fewest slips from a word, whatever the case of their letters, if they are few enough for its length; "" if
// there is none. Words of more than 64 bytes are near to nothing.
func Nearest(word string, candidates []string) string {
	if len(word) > longest {
		return ""
	}
	word = strings.ToLower(word)
	best, fewest := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if len(c) > longest {
			continue
		}
		if n := Slips(word, strings.ToLower(c)); n < fewest {
			best, fewest = c, n
		}
	}
	return best
}

// Slips is the number of bytes to add, to remove, to change, or to exchange with their neighbour that makes b of a. Whoever calls it bounds both.
func Slips(a, b string) int {
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
