#!/bin/sh
# Makes the test vectors of this folder with openssl 3 and GNU tar. All keys here are throw-away test keys and are not kept.
# Run it in an empty folder and copy the result; the tests read dates from the certificates.
set -eu
digest=a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333 # printf app | sha256sum
hex40=$(printf %s "$digest" | cut -c1-40)
work=$(mktemp -d)

# A root with an RSA key, as Vault and openssl make them by default, and a leaf in the form of DIA's GitLab flow.
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/root.key" -out rsa-root.pem -days 3650 -subj "/O=Test/CN=RSA root" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout "$work/leaf.key" -out "$work/leaf.csr" -subj "/CN=dia-42-$hex40" 2>/dev/null
printf 'subjectAltName=DNS:dia-42-7\n' > "$work/dia.ext"
openssl x509 -req -in "$work/leaf.csr" -CA rsa-root.pem -CAkey "$work/root.key" -days 1 -extfile "$work/dia.ext" -out rsa-leaf.pem 2>/dev/null

# The same leaf with the weak ways to sign: SHA-1, and a root of 1024 bits.
openssl x509 -req -in "$work/leaf.csr" -CA rsa-root.pem -CAkey "$work/root.key" -days 1 -sha1 -out sha1-leaf.pem 2>/dev/null
openssl req -x509 -newkey rsa:1024 -nodes -keyout "$work/weak.key" -out rsa1024-root.pem -days 3650 -subj "/CN=weak root" 2>/dev/null

# A leaf with a key of 1024 bits.
openssl req -newkey rsa:1024 -nodes -keyout "$work/weakleaf.key" -out "$work/weakleaf.csr" -subj "/CN=dia-$hex40" 2>/dev/null
openssl x509 -req -in "$work/weakleaf.csr" -CA rsa-root.pem -CAkey "$work/root.key" -days 1 -out rsa1024-leaf.pem 2>/dev/null

# A leaf in Assay's own form.
cat > "$work/san.ext" <<EXT
subjectAltName=URI:oci://registry.example/team/app@sha256:$digest
extendedKeyUsage=codeSigning
EXT
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/san.key" -out "$work/san.csr" -subj "/CN=dia-$hex40" 2>/dev/null
openssl x509 -req -in "$work/san.csr" -CA rsa-root.pem -CAkey "$work/root.key" -days 1 -extfile "$work/san.ext" -out san-leaf.pem 2>/dev/null

# A revocation list on which rsa-leaf.pem stands.
touch "$work/index.txt"; echo 01 > "$work/crlnumber"
cat > "$work/ca.cnf" <<CNF
[ca]
default_ca=d
[d]
database=$work/index.txt
crlnumber=$work/crlnumber
default_md=sha256
default_crl_days=3650
CNF
openssl ca -config "$work/ca.cnf" -cert rsa-root.pem -keyfile "$work/root.key" -revoke rsa-leaf.pem 2>/dev/null
openssl ca -config "$work/ca.cnf" -cert rsa-root.pem -keyfile "$work/root.key" -gencrl -out rsa-root.crl.pem 2>/dev/null
openssl crl -in rsa-root.crl.pem -outform DER -out rsa-root.crl

# A time stamp over the DER of rsa-leaf.pem, by an authority of its own.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/tsaroot.key" -out tsa-root.pem -days 3650 -subj "/CN=TSA root" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/tsa.key" -out "$work/tsa.csr" -subj "/CN=TSA" 2>/dev/null
printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=critical,timeStamping\n' > "$work/tsa.ext"
openssl x509 -req -in "$work/tsa.csr" -CA tsa-root.pem -CAkey "$work/tsaroot.key" -days 3650 -extfile "$work/tsa.ext" -out "$work/tsa.pem" 2>/dev/null
echo 01 > "$work/serial"
cat > "$work/tsa.cnf" <<CNF
[tsa]
default_tsa=t
[t]
serial=$work/serial
signer_cert=$work/tsa.pem
signer_key=$work/tsa.key
signer_digest=sha256
default_policy=1.2.3.4
digests=sha256
ess_cert_id_alg=sha256
CNF
openssl x509 -in rsa-leaf.pem -outform DER -out "$work/leaf.der"
openssl ts -query -data "$work/leaf.der" -sha256 -cert -out "$work/q.tsq" 2>/dev/null
openssl ts -reply -config "$work/tsa.cnf" -queryfile "$work/q.tsq" -token_out -out rsa-leaf.token 2>/dev/null

# A file of 8 GiB that is all hole: some hundred bytes as a tar, a few kilobytes padded.
truncate -s 8G "$work/image.crt"
tar -C "$work" --sparse --format=posix -cf sparse.tar image.crt

rm -r "$work"
