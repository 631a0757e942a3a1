// Package release reads the numbers of releases of other programs, of which it is known which flaws they have.
package release

import (
	"fmt"
	"regexp"
	"strconv"
)

// Number is the number of a release: major, minor and patch.
type Number [3]int

var form = regexp.MustCompile(`^v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(-(?:rc|beta|alpha)[.\d]*)?([-+~].*)?$`)

// Parse reads "29.3.1" and what distributions add to it: "20.10.24+dfsg1", "2.1.4-k3s1". What comes before a release counts as the one before it.
func Parse(text string) (Number, error) {
	m := form.FindStringSubmatch(text)
	if m == nil {
		return Number{}, fmt.Errorf("%q is no release", text)
	}
	var n Number
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // four digits
	}
	if m[4] != "" {
		n[2]-- // -1 is before 0
	}
	return n, nil
}

// Must reads a number that stands in the source; it panics where that is none.
func Must(text string) Number {
	n, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return n
}

// Before reports whether a release came before another one.
func (n Number) Before(other Number) bool {
	for i := range n {
		if n[i] != other[i] {
			return n[i] < other[i]
		}
	}
	return false
}
