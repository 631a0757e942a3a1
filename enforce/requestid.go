package enforce

import (
	"crypto/rand"
	"strings"
)

// maxRequestID is the length of the longest request id that is taken from somebody else, in bytes.
const maxRequestID = 64

// RequestID returns the id under which a request is logged and answered: the caller's, if it is one that can stand in a log and in a
// header as it is, else a new one that nobody guesses.
func RequestID(given string) string {
	if given != "" && len(given) <= maxRequestID && strings.IndexFunc(given, foreign) < 0 {
		return given
	}
	return rand.Text()
}

func foreign(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("-_.:/+=", r):
		return false
	}
	return true
}
