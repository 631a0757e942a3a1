//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// notaryCollection is what is done to a collection of a server of its own. Its steps are shell commands, "record NAME" for the moments
// that are recorded, and "expired NAME" for a moment a day after the end of its timestamp.
type notaryCollection struct {
	gun     string
	options notaryOptions
	docker  bool // with a registry and a Docker engine
	steps   []string
}

// The commands, by what they make.
const (
	// leaf NAME ALGORITHM makes NAME.key, a self-signed certificate NAME.pem that is no CA, and NAME.pub.
	defineLeaf = `leaf() { openssl req -x509 -newkey $2 -nodes -keyout $1.key -out $1.pem -days 3650 -subj "/CN=$1" ` +
		`-addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=codeSigning; ` +
		`openssl pkey -in $1.key -pubout -out $1.pub; }; `
	onP256  = ` "ec -pkeyopt ec_paramgen_curve:P-256"`
	onP384  = ` "ec -pkeyopt ec_paramgen_curve:P-384"`
	buildIt = `date +%N >content; tar c content | docker import - `
)

// digestOf adds a tag of Docker's to the file digests. What docker trust sign pushes is what the registry names.
func digestOf(tag string) string {
	return "docker image inspect -f '" + tag + " {{index .RepoDigests 0}}' $GUN:" + tag + " | sed 's/ .*@/ /' >>digests"
}

// target adds a target to roles: what docker trust sign writes for an image of this digest and a manifest of 528 bytes.
func target(tag, digest, roles string) string {
	return "notary addhash $GUN " + tag + " 528 --sha256 $" + digest + " -r " + roles + "; echo " + tag + " sha256:$" + digest + " >>digests"
}

func notaryCollections() []notaryCollection {
	return slices.Concat(recordDocker(), recordCLI(), recordKeys(), recordRoots())
}

// recordDocker is what docker trust writes.
func recordDocker() []notaryCollection {
	return []notaryCollection{{gun: recordedHost + "/docker/app", options: notaryOptions{signer: "ecdsa"}, docker: true, steps: []string{
		defineLeaf + "leaf jenkins" + onP256,
		"docker trust key generate alice",
		"docker trust key load jenkins.key --name jenkins",
		"docker trust signer add --key jenkins.pem jenkins $GUN", // a certificate
		"docker trust signer add --key alice.pub alice $GUN",     // a bare key
		"record docker-unsigned",
		buildIt + "$GUN:1",
		"docker trust sign $GUN:1",
		digestOf("1"),
		"record docker-signed",
		buildIt + "$GUN:1",
		"docker trust sign --local $GUN:1",
		digestOf("1"),
		buildIt + "$GUN:2",
		"docker trust sign $GUN:2",
		digestOf("2"),
		"record docker-resigned",
		"docker trust revoke -y $GUN:2",
		"record docker-revoked",
		"notary -d $DOCKER_CONFIG/trust delegation remove $GUN targets/alice -y -p", // docker trust signer remove of 28.2 does nothing
		"record docker-signer-removed",
	}}}
}

// recordCLI is what Notary's command line writes, with a server that holds its keys itself: those are Ed25519.
func recordCLI() []notaryCollection {
	return []notaryCollection{{gun: recordedHost + "/cli/app", steps: []string{
		defineLeaf + "leaf jenkins" + onP256 + "; leaf alice" + onP256,
		"notary key import jenkins.key alice.key --role delegation",
		"notary init $GUN -p",
		"record cli-empty",
		target("1", "A", "targets") + "; notary publish $GUN",
		"record cli-targets",
		"notary key rotate $GUN snapshot -r",
		"record cli-server-snapshot",
		"notary delegation add $GUN targets/releases jenkins.pem alice.pub --all-paths",
		"notary delegation add $GUN targets/jenkins jenkins.pem --all-paths",
		"notary delegation add $GUN targets/alice alice.pub --all-paths -p",
		"record cli-delegations", // which nobody has signed for
		target("2", "B", "targets/releases,targets/jenkins,targets/alice") + "; notary publish $GUN",
		"record cli-signed",
		"notary addhash $GUN 3 528 --sha256 $A -r targets/jenkins; notary addhash $GUN 3 528 --sha256 $B -r targets/alice -p",
		"record cli-disagree", // about tag 3
		"notary remove $GUN 2 -r targets/alice -p",
		"record cli-removed", // tag 2 by alice
		"notary delegation remove $GUN targets/jenkins -y -p",
		"record cli-delegation-removed",
	}}, {gun: recordedHost + "/cli/deep", steps: []string{
		defineLeaf + "leaf a" + onP256 + "; leaf b" + onP256,
		"notary key import a.key b.key --role delegation",
		"notary init $GUN",
		"notary delegation add $GUN targets/a a.pem --paths v1,v2",
		"notary delegation add $GUN targets/a/b b.pem --paths v1 -p",
		target("v2", "B", "targets/a") + "; notary publish $GUN",
		target("v1", "A", "targets/a/b"),
		// Custom data that are no canonical JSON make the server refuse the signature.
		`printf '{"a":{},"built":"by hand","z":[1,true,null]}' >custom; notary addhash $GUN v1-custom 528 --sha256 $A --sha512 $A$B --custom custom -r targets/a/b`,
		`notary addhash $GUN 'v1 <&> "ü' 528 --sha256 $B -r targets/a/b`, // served as \u003c\u0026\u003e, signed as it stands
		"notary publish $GUN",
		"record cli-deep",
	}}}
}

// recordKeys is about the kinds and the rotation of keys that are not the root's.
func recordKeys() []notaryCollection {
	return []notaryCollection{{gun: recordedHost + "/keys/kinds", options: notaryOptions{signer: "ed25519"}, steps: []string{
		defineLeaf + "leaf rsa rsa:2048; leaf p384" + onP384 + "; leaf p256" + onP256,
		"notary key import rsa.key p384.key p256.key --role delegation",
		"notary init $GUN -p",
		"notary key rotate $GUN snapshot -r",
		"notary delegation add $GUN targets/rsa rsa.pem --all-paths; notary delegation add $GUN targets/rsa-bare rsa.pub --all-paths",
		"notary delegation add $GUN targets/p384 p384.pem --all-paths; notary delegation add $GUN targets/p384-bare p384.pub --all-paths",
		"notary delegation add $GUN targets/many rsa.pem p384.pub p256.pem --all-paths -p", // one role that three keys sign
		target("1", "A", "targets/rsa,targets/rsa-bare,targets/p384,targets/p384-bare,targets/many") + "; notary publish $GUN",
		"record keys-kinds",
	}}, {gun: recordedHost + "/keys/rotated", options: notaryOptions{signer: "ecdsa"}, steps: []string{
		defineLeaf + "leaf old" + onP256 + "; leaf new" + onP256,
		"notary key import old.key --role delegation",
		"notary init $GUN",
		"notary delegation add $GUN targets/releases old.pem --all-paths",
		target("1", "A", "targets/releases") + "; notary publish $GUN",
		"notary delegation list $GUN | grep -oE '[0-9a-f]{64}' >old.id",
		"record keys-old",
		"notary key import new.key --role delegation",
		"notary delegation add $GUN targets/releases new.pem --all-paths -p",
		"notary witness $GUN targets/releases -p",
		"record keys-both",
		"notary delegation remove $GUN targets/releases $(cat old.id) -y -p",
		"record keys-new",
		"notary key rotate $GUN targets",
		"record keys-targets-rotated",
		"notary key rotate $GUN timestamp -r",
		"expired keys-expired",
	}}}
}

// recordRoots is about the root's keys and certificates.
func recordRoots() []notaryCollection {
	return []notaryCollection{{gun: recordedHost + "/root/rotated", steps: []string{
		"notary init $GUN",
		target("1", "A", "targets") + "; notary publish $GUN",
		"record root-1",
		"echo yes | notary key rotate $GUN root",
		"record root-2",
		target("2", "B", "targets") + "; notary publish $GUN",
		"echo yes | notary key rotate $GUN root",
		"record root-3",
		"notary key rotate $GUN snapshot -r",
		"record root-4", // a new root by the same key
	}}, {gun: recordedHost + "/root/legacy", steps: []string{
		"notary init $GUN -p",
		"echo yes | notary key rotate $GUN root",
		"echo yes | notary key rotate $GUN root --legacy 1",
		target("1", "A", "targets") + "; notary publish $GUN",
		"record root-legacy", // the third root is signed by the first key too
	}}, {gun: recordedHost + "/root/rsa", steps: []string{
		"openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA1 -passout env:NOTARY_ROOT_PASSPHRASE | sed '1a role: root\\n' >root.key",
		"notary init $GUN --rootkey root.key",
		target("1", "A", "targets") + "; notary publish $GUN",
		"record root-rsa",
	}}, {gun: recordedHost + "/root/wildcard", steps: []string{
		"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plain.key",
		"openssl pkcs8 -topk8 -in plain.key -v2 aes-256-cbc -v2prf hmacWithSHA1 -passout env:NOTARY_ROOT_PASSPHRASE | sed '1a role: root\\n' >root.key",
		`openssl req -x509 -key plain.key -out root.pem -days 3650 -subj '/CN=` + recordedHost + `\/root\/*' -addext basicConstraints=critical,CA:FALSE`,
		"notary init $GUN --rootkey root.key --rootcert root.pem",
		target("1", "A", "targets") + "; notary publish $GUN",
		"record root-wildcard",
	}}, {gun: recordedHost + "/root/ca", steps: []string{
		`openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Root CA' -addext keyUsage=critical,keyCertSign`,
		"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plain.key",
		"openssl pkcs8 -topk8 -in plain.key -v2 aes-256-cbc -v2prf hmacWithSHA1 -passout env:NOTARY_ROOT_PASSPHRASE | sed '1a role: root\\n' >root.key",
		"printf 'basicConstraints=critical,CA:FALSE\\nextendedKeyUsage=codeSigning\\n' >ext",
		`openssl req -new -key plain.key -subj "/CN=${GUN//\//\\/}" | openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile ext -out root.pem`,
		"cat ca.pem >>root.pem", // the issuer too
		"notary init $GUN --rootkey root.key --rootcert root.pem",
		target("1", "A", "targets") + "; notary publish $GUN",
		"record root-ca",
	}}}
}

const notaryRecordedReadme = `# Recorded metadata of Notary v1

Test vectors: what a real notary-server served after real tools had signed, so that unit tests need no peers. Everything here is written by

    ASSAY_RECORD=1 make e2e RUN=TestRecordNotary

(e2e/record_notary_test.go) with Debian's notary, notary-server and notary-signer 0.7.0 and docker trust of the Docker CLI
28.2. Each server ran for these seconds only. No private key was kept, and nobody else trusts these keys.

A folder is one moment of a collection. Its files have the names that they have below /v2/GUN/_trust/tuf/ at the server, byte for byte as
served: root.json, timestamp.json, snapshot.json, targets.json and targets/NAME.json. A client asks for all but root and timestamp with
their SHA-256 in the name (snapshot.HEX.json). Where there were several roots, each is also there as N.root.json. A role that was
delegated to but that nobody has signed for has no file. about.json says which collection it is (gun), when it was recorded (timestamps
end 14 days later), and what the tags name (digests).

keys has the public keys and certificates of the signers, as COLLECTION-NAME.pub and .pem, and those of roots that were not made by notary.

What can be seen here, and is not in every description of the format:

* The bytes served are not always those that were signed: Go's JSON encoder writes <, > and & as \u003c, \u003e and \u0026, the signature
  is over canonical JSON, which has them as they are (cli-deep). Tags of images have no such letters; names of targets may.
* notary-server without a signer holds Ed25519 keys (cli-*, root-*), with one the kind that it is configured for, ECDSA or Ed25519.
* A collection begins with version 1 or 2 of targets and snapshot, by the way in which it was made.
* docker trust signer add with a certificate delegates to the certificate (ecdsa-x509), with the output of docker trust key generate to
  the bare key (ecdsa). targets/releases has the keys of all signers; each of them may sign it alone.
* Every role has threshold 1, however many keys it has; with several keys at hand, notary signs with all of them (keys-kinds, keys-both).
* A new root is signed by the key of the root before too, which the new root does not list (root-2, root-3); after a rotation with
  --legacy, by older ones still (root-legacy).
* notary delegation remove takes a key away without signing the role's file anew, so a signature by a key that the role does not have
  may stand beside the good one (keys-new).

## Commands

$GUN is the collection; $A and $B are the digits of two digests.

`

// notaryReadme says how everything was made.
func notaryReadme(out string) error {
	var text strings.Builder
	text.WriteString(notaryRecordedReadme)
	for _, c := range notaryCollections() {
		server := "notary-server alone"
		if c.options.signer != "" {
			server = "notary-server with a signer of " + c.options.signer + " keys"
		}
		fmt.Fprintf(&text, "### %s: %s\n\n", c.gun, server)
		for _, step := range c.steps {
			fmt.Fprintf(&text, "    %s\n", step)
		}
		text.WriteString("\n")
	}
	return os.WriteFile(filepath.Join(out, "README.md"), []byte(strings.TrimRight(text.String(), "\n")+"\n"), 0o644)
}
