#!/usr/bin/env bash
# Makes the seeds of this folder with real tools: cosign v3.1.3 and v2.6.5 (built as Go tools), and the registry of Debian's
# docker-registry. The keys are thrown away. Usage: ./make.sh COSIGN3 COSIGN2
set -euo pipefail
cosign3=$1 cosign2=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
cd "$work"
export COSIGN_PASSWORD='' HOME=$work
port=15123
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: "127.0.0.1:%s"}\n' "$work" $port > config.yml
docker-registry serve config.yml > registry.log 2>&1 &
registry=$!
trap 'kill $registry; rm -rf "$work"' EXIT
until curl -sf "localhost:$port/v2/" > /dev/null; do sleep 0.1; done

# The image: an empty configuration and no layer.
push() { # blob file
	local d; d=sha256:$(sha256sum "$1" | cut -d' ' -f1)
	local to; to=$(curl -sfi -X POST "localhost:$port/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
	curl -sf -X PUT "$to&digest=$d" -H 'Content-Type: application/octet-stream' --data-binary "@$1" > /dev/null
	echo "$d"
}
printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}' > image.json
config=$(push image.json)
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[]}' \
	"$config" "$(stat -c %s image.json)" > manifest.json
curl -sf -X PUT "localhost:$port/v2/app/manifests/1" -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @manifest.json
digest=sha256:$(sha256sum manifest.json | cut -d' ' -f1)
image=localhost:$port/app@$digest
tag=sha256-${digest#sha256:}

get() { curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json' "localhost:$port/v2/app/$1"; }
layer() { get "blobs/$(get "manifests/$1" | jq -r '.layers[-1].digest')"; }

"$cosign3" generate-key-pair
"$cosign3" signing-config create --out empty.json
# cosign v3: bundles.
"$cosign3" sign --key cosign.key --signing-config empty.json -a job=release -y "$image"
bundle() { # of those that refer to the image, the one that was not there before
	local new; new=$(get "manifests/$tag" | jq -r '.manifests[].digest' | grep -vxFf seen)
	echo "$new" >> seen
	get "blobs/$(get "manifests/$new" | jq -r '.layers[0].digest')"
}
echo none > seen
bundle > bundle.json
jq -r .dsseEnvelope.payload bundle.json | base64 -d > "$here/statement-cosign3-sign.json"
jq -c .dsseEnvelope bundle.json > "$here/envelope-cosign3-sign.json"
for kind in slsaprovenance1 spdxjson cyclonedx vuln openvex custom; do
	"$cosign3" attest --key cosign.key --signing-config empty.json -y --type "$kind" --predicate "$here/predicate-$kind.json" "$image"
	bundle | jq -r .dsseEnvelope.payload | base64 -d > "$here/statement-cosign3-$kind.json"
done
# cosign v3 and v2: tags .sig and .att.
"$cosign3" sign --key cosign.key --new-bundle-format=false --use-signing-config=false --tlog-upload=false -a job=release -y "$image"
layer "$tag.sig" > "$here/claims-cosign3.json"
"$cosign2" sign --key cosign.key --tlog-upload=false -a job=release --sign-container-identity registry.acme.example/app:1 -y "$image"
layer "$tag.sig" > "$here/claims-cosign2.json"
"$cosign2" attest --key cosign.key --tlog-upload=false -y --type vuln --predicate "$here/predicate-vuln.json" "$image"
layer "$tag.att" > "$here/envelope-cosign2-vuln.json"
jq -r .payload "$here/envelope-cosign2-vuln.json" | base64 -d > "$here/statement-cosign2-vuln.json"
