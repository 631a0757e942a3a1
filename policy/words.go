package policy

import (
	"fmt"
	"slices"
)

// Points returns the names of the enforcement points that a policy's scope can name.
func Points() []string {
	return []string{"kubernetes", "docker", "containerd", "spire", "api", "cli"}
}

// Enum returns the words for the modes, in the order of their values.
func (Mode) Enum() []string { return []string{"enforce", "warn", "audit"} }

// String returns the word for m. A value that is no mode enforces.
func (m Mode) String() string { return word(m.Enum(), int(m)) }

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads one of the words of Enum.
func (m *Mode) UnmarshalText(text []byte) error { return setWord(m, m.Enum(), text) }

// Enum returns the words for what becomes of an image that no rule matches, in the order of their values.
func (Unmatched) Enum() []string { return []string{"deny", "ignore"} }

// String returns the word for u. A value that is none denies.
func (u Unmatched) String() string { return word(u.Enum(), int(u)) }

// MarshalText implements encoding.TextMarshaler.
func (u Unmatched) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads one of the words of Enum.
func (u *Unmatched) UnmarshalText(text []byte) error { return setWord(u, u.Enum(), text) }

// Enum returns the words for how a rule treats digests, in the order of their values.
func (DigestRule) Enum() []string { return []string{"pin", "keep", "required", "insecureReplace"} }

// String returns the word for r. A value that is none pins.
func (r DigestRule) String() string { return word(r.Enum(), int(r)) }

// MarshalText implements encoding.TextMarshaler.
func (r DigestRule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads one of the words of Enum.
func (r *DigestRule) UnmarshalText(text []byte) error { return setWord(r, r.Enum(), text) }

func word(words []string, value int) string {
	if value < 0 || value >= len(words) {
		return words[0]
	}
	return words[value]
}

func setWord[T ~int](to *T, words []string, text []byte) error {
	i := slices.Index(words, string(text))
	if i < 0 {
		return fmt.Errorf("unknown value %q; %s", clip(string(text)), didYouMean(string(text), "write one of: ", words))
	}
	*to = T(i)
	return nil
}
