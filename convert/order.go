package convert

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/assay-dev/assay/policy"
)

// order sorts the rules: a higher priority first, equal ones as they stand on the page.
func (c *trustFileReader) order() {
	slices.SortStableFunc(c.rules, func(a, b rule) int { return cmp.Compare(b.priority, a.priority) })
	for i, r := range c.rules {
		if i > 0 && c.rules[i-1].priority == r.priority {
			continue
		}
		var lines []int
		for _, other := range c.rules[i:] {
			if other.priority == r.priority && other.stays() {
				lines = append(lines, other.line)
			}
		}
		if len(lines) > 1 {
			c.noteAll(fmt.Sprintf("priority %d", r.priority), change{
				was: "the order of equal priorities was not promised", now: "the order of the page: lines " + joined(lines),
				do: "nothing, unless an image fits several of them and another one should decide",
			})
		}
	}
}

// guard puts a denial behind each rule that matches less than before, where another rule behind it could accept what is left.
func (c *trustFileReader) guard() {
	var all []rule
	for i, r := range c.rules {
		if r.stays() {
			all = append(all, r)
		}
		decidesElse := func(other rule) bool {
			return other.stays() && (other.authority == nil || other.authority != r.authority)
		}
		if len(r.guards) == 0 || !slices.ContainsFunc(c.rules[i+1:], decidesElse) {
			continue
		}
		all = append(all, rule{
			comment:     fmt.Sprintf("%s:%d: what %s was about and does not match as a whole, so that no rule behind this one accepts it", c.file, r.line, r.given),
			expressions: r.guards,
			deny:        fmt.Sprintf("%s in %s, line %d, was about images of this name, and must match the whole name now", r.given, c.file, r.line),
		})
		c.notes = append(c.notes, Note{
			File: c.file, Line: r.line, What: "name " + policy.Quote(r.given),
			Was: "it decided about every image that it matched in part, or that was written without its registry",
			Now: "the meaning becomes stricter: those that it does not match as a whole are denied by a rule of its own, since a rule behind it could accept them",
			Do:  "write the whole name, registry included, between ^ and $, and import again; or remove that rule, if those behind it may decide",
		})
	}
	c.rules = all
}

// general adds what is to be known of the file as a whole.
func (c *trustFileReader) general(scope *label) {
	if c.content.OPA != nil {
		c.note("opa", "opa", change{was: "settings of the chart of OPA", now: "left out, for they have no meaning in a policy", do: "see the chart of Assay for what takes their place"})
	}
	c.servers()
	c.digests()
	c.noteAll("names of images", change{was: "they were taken as they are written", now: "the meaning becomes stricter: what cannot be read as the name of an image is denied", do: "nothing"})
	if scope == nil {
		c.noteAll("namespaces", change{
			was: "the webhook left some out by a label, sighup.io/webhook=ignore in the chart", now: "the policy speaks about every namespace that it is asked about",
			do: "keep the namespaceSelector of the webhook, or import with --ignored-namespaces sighup.io/webhook=ignore",
		})
		return
	}
	c.noteAll("namespaces", change{
		was: "the webhook left out those with " + scope.key + "=" + scope.value, now: "the policy does not speak about them, nor where there are no namespaces",
		do: "leave them out in the webhook too: what no policy speaks about is denied",
	})
}

// servers says whose word counts for the servers' own certificates.
func (c *trustFileReader) servers() {
	byTLS := func(a *authority) bool { return a.server.tls }
	switch {
	case !slices.ContainsFunc(c.authorities, byTLS):
	case c.options.NotaryCA == "":
		c.noteAll("TLS", change{
			was: "the system's CAs counted, and the chart added ca.crt of the Secret notary-server-crt", now: "the system's CAs count",
			do: "if a server has a CA of its own, import with --notary-ca FILE, or write caFile into its settings",
		})
	default:
		c.noteAll("TLS", change{
			was: "the system's CAs counted, and the chart added ca.crt of the Secret notary-server-crt", now: "the given CA counts for every server, by caFile in its settings",
			do: "give the settings by --registries",
		})
	}
}

func (c *trustFileReader) digests() {
	file, flag := c.content.Strict, c.options.Strict
	switch {
	case file == nil && flag == nil:
		c.noteAll("strict", change{was: "it is not in this file, and true in the chart", now: "true (digest: pin)", do: "import with --strict=false if mode.json says so"})
	case file != nil && flag != nil && *file != *flag:
		c.note("strict", "strict", change{was: fmt.Sprint(*file), now: fmt.Sprintf("%t, by --strict", *flag), do: "nothing"})
	}
	if !slices.ContainsFunc(c.rules, func(r rule) bool { return r.authority != nil }) {
		return
	}
	what, where := "digests", "strict"
	ch := change{
		was: "the reference was compared, as text, with full name, tag and signed digest",
		now: "a digest must be a signed one, however the name is written (digest: pin)", do: "nothing",
	}
	if !c.strict() {
		ch = change{
			was: "the signed digest took the place of another one", now: "the same, and the user is warned (digest: insecureReplace)", urgent: true,
			do: "import with --strict=true, once references with digests are signed ones",
		}
	}
	if file != nil {
		c.note(where, what, ch)
	} else {
		c.noteAll(what, ch)
	}
	c.noteAll("digests without a tag", change{was: "looked up by a tag", now: "the meaning becomes stricter: looked up by the digest itself, which must be a signed one", do: "nothing"})
}
