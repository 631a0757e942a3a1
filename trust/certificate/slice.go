package certificate

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	defaultSlice = "0-40"

	// minSliceDigits is the least that binds an image: 32 digits are 128 bit.
	minSliceDigits = 32
	// maxSliceEnd is where a slice may end: a sha256 digest has 64 digits; of a sha512 digest the first 64 can be named.
	maxSliceEnd = 64
	// maxCommonName is what X.520 allows, in characters (RFC 5280, appendix A, ub-common-name).
	maxCommonName = 64
)

// slice is the part of a digest's digits that a common name carries: from start, without end.
type slice struct{ start, end int }

// parseSlice reads "start-end". What is empty, reversed, too short or out of range is an error: such a slice would fit every
// certificate, or none.
func parseSlice(s string) (slice, error) {
	first, second, _ := strings.Cut(s, "-")
	start, errStart := parseIndex(first)
	end, errEnd := parseIndex(second)
	switch {
	case errStart != nil || errEnd != nil:
		return slice{}, fmt.Errorf("slice %q is not of the form start-end", clip(s))
	case start >= end:
		return slice{}, fmt.Errorf("slice %q is empty or reversed, and an empty slice fits every certificate", s)
	case end > maxSliceEnd:
		return slice{}, fmt.Errorf("slice %q ends past %d, the number of digits", s, maxSliceEnd)
	case end-start < minSliceDigits:
		return slice{}, fmt.Errorf("slice %q has %d digits, and fewer than %d do not bind an image", s, end-start, minSliceDigits)
	}
	return slice{start: start, end: end}, nil
}

// parseIndex reads a number of one to three digits, without a sign.
func parseIndex(s string) (int, error) {
	if len(s) > 3 {
		return 0, strconv.ErrRange
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err
}
