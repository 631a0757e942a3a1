package registry

import "strings"

// nextLink returns the target of the link with the relation "next" (RFC 8288), as far as it is within what is looked at.
func nextLink(headers []string) (target string, found bool) {
	for _, header := range headers {
		if len(header) > maxLink {
			continue
		}
		for header != "" {
			var rest string
			target, rest, found = strings.Cut(strings.TrimLeft(header, " \t,"), ">")
			target, opened := strings.CutPrefix(target, "<")
			if !found || !opened {
				break
			}
			var relation string
			relation, header = linkRelation(rest)
			for _, name := range strings.Fields(relation) {
				if strings.EqualFold(name, "next") {
					return target, true
				}
			}
		}
	}
	return "", false
}

// linkRelation reads the parameters of one link and returns its first relation, which alone counts, and the links that follow.
func linkRelation(s string) (relation, rest string) {
	seen := false
	for {
		s = strings.TrimLeft(s, " \t")
		var more bool
		if s, more = strings.CutPrefix(s, ";"); !more {
			rest, _ = strings.CutPrefix(s, ",")
			if rest == s {
				rest = "" // what stands there is no list of links
			}
			return relation, rest
		}
		var name string
		name, s = token(strings.TrimLeft(s, " \t"))
		value, after, isParameter := parameter(s)
		if isParameter {
			s = after
		}
		if strings.EqualFold(name, "rel") && !seen {
			relation, seen = value, true
		}
		if name == "" && !isParameter {
			return relation, ""
		}
	}
}
