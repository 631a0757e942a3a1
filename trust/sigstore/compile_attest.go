package sigstore

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/assay-dev/assay/spelling"
	"github.com/assay-dev/assay/trust/sigstore/statement"
)

func (c *compiler) attestations() error {
	for i := range c.options.Attestations {
		o := &c.options.Attestations[i]
		at := fmt.Sprintf("attestations[%d].", i)
		d, err := c.attestation(at, o)
		if err != nil {
			return err
		}
		c.made.demanded = append(c.made.demanded, d)
	}
	return nil
}

func (c *compiler) attestation(at string, o *AttestationOptions) (demand, error) {
	d := demand{predicateType: statement.TypeOf(o.PredicateType), signer: c.made.signer, maxAge: o.MaxAge}
	switch o.Select {
	case "", "latest":
	case "any":
		d.choice = chooseAny
	case "all":
		d.choice = chooseAll
	default:
		return d, c.Errorf(at+"select", "%q is unknown; write latest, any or all", clip(o.Select))
	}
	switch {
	case o.PredicateType == "":
		return d, c.Errorf(at+"predicateType", "is empty; give the type of the predicate")
	case d.predicateType == statement.CosignSign:
		return d, c.Errorf(at+"predicateType", "is that of signatures, which are asked for by signature: required; remove it")
	case o.PredicateType == anyPredicate && d.choice != chooseAny:
		return d, c.Errorf(at+"select", "of attestations of any type, only any can be asked for; write select: any")
	case d.predicateType == o.PredicateType && d.predicateType != anyPredicate && !isURI(o.PredicateType):
		return d, c.Errorf(at+"predicateType", "%q is neither a short name nor a URI; %s", clip(o.PredicateType), nearestType(o.PredicateType))
	case o.MaxAge < 0:
		return d, c.Errorf(at+"maxAge", "is negative; write a length of time such as 720h")
	}
	if o.SignedBy != nil {
		set, err := c.signerSet(at+"signedBy.", *o.SignedBy)
		if err != nil {
			return d, err
		}
		c.made.sets = append(c.made.sets, set)
		d.signer = set
	}
	if d.maxAge > 0 && !d.signer.byCertificate() {
		return d, c.Errorf(at+"maxAge", "%s", ageOfKeys)
	}
	conditions, err := c.conditions(at, o.Conditions)
	d.conditions = conditions
	return d, err
}

// ageOfKeys says why the age of what a bare key signed cannot be bounded.
const ageOfKeys = "nobody can tell how old a bare key's signature is: it can be stamped and logged anew; " +
	`remove it and compare a time in the predicate, as in the condition now - timestamp(predicate.metadata.scanFinishedOn) < duration("168h")`

func (c *compiler) conditions(at string, all []ConditionOptions) (statement.Conditions, error) {
	list := make([]statement.Condition, len(all))
	for i, one := range all {
		list[i] = statement.Condition{CEL: one.CEL, Message: one.Message}
	}
	conditions, err := statement.Compile(list)
	var one *statement.ConditionError
	switch {
	case errors.As(err, &one):
		return statement.Conditions{}, c.Errorf(fmt.Sprintf("%sconditions[%d]", at, one.Index), "%w", one.Err)
	case err != nil:
		return statement.Conditions{}, c.Errorf(at+"conditions", "%w; write fewer", err)
	}
	return conditions, nil
}

// isURI reports an absolute URI, as all types of predicates are.
func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && (u.Host != "" || u.Opaque != "" || len(u.Path) > 1)
}

// nearestType is the next step after a name that stands for no type.
func nearestType(s string) string {
	const mostSlips = 4 // characters to add, to remove or to change; SLSAprovenance/v1 has three
	names := statement.ShortNames()
	plain := func(s string) string { return strings.Map(letterOrDigit, strings.ToLower(s)) }
	best, fewest := "", min(mostSlips, len(s)/3)+1
	for _, name := range names {
		if n := spelling.Slips(plain(clip(s)), name); n < fewest {
			best, fewest = name, n
		}
	}
	if best == "" {
		return "write the type's URI, or one of " + strings.Join(names, ", ")
	}
	return "did you mean " + best + "?"
}

func letterOrDigit(r rune) rune {
	if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
		return r
	}
	return -1
}
