package registry

import "strings"

// challenge is what a registry asks for in a WWW-Authenticate header (RFC 9110, section 11.6.1).
type challenge struct {
	scheme  string // "bearer" or "basic"
	realm   string
	service string
	scope   string
}

// parseChallenges returns the challenge to answer: the first bearer one, else the first basic one; not ok if there is neither.
func parseChallenges(headers []string) (challenge, bool) {
	var basic challenge
	for _, header := range headers {
		if len(header) > maxChallenge {
			continue
		}
		for _, c := range splitChallenges(header) {
			switch c.scheme {
			case "bearer":
				return c, true
			case "basic":
				basic = c
			}
		}
	}
	return basic, basic.scheme != ""
}

// splitChallenges reads one header, which may hold several challenges. It stops at the first thing that it does not understand. A
// parameter that is there twice spoils its challenge: which of two realms is meant must not depend on the reader.
func splitChallenges(s string) []challenge {
	var all []challenge
	seen := map[string]bool{}
	for {
		word, rest := token(strings.TrimLeft(s, " \t,"))
		if word == "" {
			return all
		}
		value, after, isParameter := parameter(rest)
		if !isParameter {
			if rest != "" && !strings.ContainsAny(rest[:1], " \t,") {
				return all
			}
			all = append(all, challenge{scheme: strings.ToLower(word)})
			clear(seen)
			s = rest
			continue
		}
		if len(all) == 0 {
			return nil
		}
		name := strings.ToLower(word)
		if seen[name] {
			return all[:len(all)-1]
		}
		seen[name] = true
		all[len(all)-1].set(name, value)
		s = after
	}
}

func (c *challenge) set(name, value string) {
	switch name {
	case "realm":
		c.realm = value
	case "service":
		c.service = value
	case "scope":
		c.scope = value
	}
}

// parameter reads `=value` or `="value"`.
func parameter(s string) (value, rest string, ok bool) {
	s, ok = strings.CutPrefix(strings.TrimLeft(s, " \t"), "=")
	if !ok {
		return "", "", false
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest = token(s)
		return value, rest, true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", true
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", true // not closed: nothing of it counts
}

// token reads a token of RFC 9110, section 5.6.2.
func token(s string) (word, rest string) {
	i := 0
	for i < len(s) && isTokenByte(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
