// Package sigstore is the format of Sigstore: what cosign and its kin write about images, with keys and with identities.
//
// Evidence is found in two shapes: signatures and attestations under tags of the image's digest ("sha256-….sig", "sha256-….att"),
// and bundles that refer to the image (OCI distribution specification 1.1, "Referrers"). Both end in the same check: one signature
// must carry all that the policy asks of an authority.
package sigstore
