{{- /* What a schema cannot say. Each failure names the values and what to do. */ -}}
{{- define "assay.check" -}}
{{- $v := .Values -}}
{{- if not (or $v.policies $v.repositories $v.attestor_ca $v.policyResources.alone) -}}
{{- fail "no policy: nobody's word would count, and every image in scope would be denied. Set one of attestor_ca (the CA of DIA), repositories (of container-signature-enforcer) or policies (docs/reference/policy.md); or policyResources.alone: true if somebody else applies TrustPolicy objects" -}}
{{- end -}}
{{- if and $v.policyResources.alone $v.policies -}}
{{- fail "policyResources.alone beside policies: choose one" -}}
{{- end -}}
{{- if and (not $v.policyResources.enabled) (or $v.policyResources.alone (and $v.policies (eq $v.policyDelivery "objects"))) -}}
{{- fail "policyResources.enabled is false, and policies would come as objects that nobody reads" -}}
{{- end -}}
{{- if and .Release.IsUpgrade $v.policyResources.enabled (not (.Capabilities.APIVersions.Has "assay.dev/v1/TrustPolicy")) -}}
{{- fail "the cluster has no TrustPolicy objects, and helm upgrade does not install their definitions: helm show crds CHART | kubectl apply --server-side --force-conflicts -f -; or set policyResources.enabled: false" -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "assay.fullname" .)) -}}
{{- fail (printf "the release is called %s, which no Service can be: set fullnameOverride to small letters, digits and hyphens, beginning with a letter" .Release.Name) -}}
{{- end -}}
{{- range $name, $_ := $v.policies -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9.]{0,198}[a-z0-9])?$" $name) -}}
{{- fail (printf "policies.%s: a policy's name has small letters, digits, hyphens and dots" $name) -}}
{{- end -}}
{{- end -}}
{{- range $where, $files := dict "policyFiles" $v.policyFiles "registries.files" $v.registries.files -}}
{{- range $name, $_ := $files -}}
{{- if not (regexMatch "^[-._a-zA-Z0-9]+$" $name) -}}
{{- fail (printf "%s.%s: a file's name has letters, digits, hyphens, dots and underscores" $where $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $v.policyFiles -}}
{{- if or (hasSuffix ".yaml" $name) (hasSuffix ".yml" $name) -}}
{{- fail (printf "policyFiles.%s: would be read as a policy; give it another ending" $name) -}}
{{- end -}}
{{- end -}}
{{- if $v.attestor_ca -}}
{{- if not (contains "-----BEGIN CERTIFICATE-----" (include "assay.pem" $v.attestor_ca)) -}}
{{- fail "attestor_ca: no certificate in PEM, nor base64 of one" -}}
{{- end -}}
{{- end -}}
{{- with $v.sharedCache -}}
{{- if and .url (not .keySecret) -}}
{{- fail "sharedCache.url without sharedCache.keySecret: nobody could tell an entry from a forged one. openssl rand -base64 32 > shared.key; kubectl create secret generic NAME --from-file shared.key" -}}
{{- end -}}
{{- if and (not .url) (or .keySecret .user .passwordSecret .caSecret) -}}
{{- fail "sharedCache.keySecret, user, passwordSecret and caSecret go with sharedCache.url" -}}
{{- end -}}
{{- if and .user (not .passwordSecret) -}}
{{- fail "sharedCache.user without sharedCache.passwordSecret" -}}
{{- end -}}
{{- if and .caSecret (not (regexMatch "^(rediss|valkeys)://" .url)) -}}
{{- fail "sharedCache.caSecret without TLS: write rediss:// in sharedCache.url" -}}
{{- end -}}
{{- end -}}
{{- if ge (int $v.decisionTimeoutSeconds) (int $v.webhooks.timeoutSeconds) -}}
{{- fail "decisionTimeoutSeconds must be less than webhooks.timeoutSeconds: else the API server gives up before Assay says what it could not tell" -}}
{{- end -}}
{{- if and $v.registries.existingSecret (or $v.registries.settings $v.registries.files) -}}
{{- fail "registries.existingSecret beside registries.settings or registries.files: choose one" -}}
{{- end -}}
{{- if hasKey $v.registries.files "registries.yaml" -}}
{{- fail "registries.files: registries.yaml is made of registries.settings" -}}
{{- end -}}
{{- if and $v.registries.files (not $v.registries.settings) -}}
{{- fail "registries.files without registries.settings: nothing would name them" -}}
{{- end -}}
{{- $keys := list -}}
{{- range $v.scope.optIn -}}
{{- if has .key $keys -}}{{- fail (printf "scope.optIn: the key %s a second time" .key) -}}{{- end -}}
{{- $keys = append $keys .key -}}
{{- end -}}
{{- if and (eq (include "assay.scopeMode" .) "optIn") (not $v.scope.optIn) -}}
{{- fail "scope.optIn is empty: no namespace could be in scope" -}}
{{- end -}}
{{- include "assay.checkNeighbours" . -}}
{{- include "assay.checkCertificates" . -}}
{{- include "assay.checkEnv" . -}}
{{- include "assay.checkImage" . -}}
{{- include "assay.checkNode" . -}}
{{- end -}}

{{- define "assay.checkNode" -}}
{{- $v := .Values -}}
{{- $n := $v.node -}}
{{- if $n.enabled -}}
{{- if not (or (and $v.policies (eq $v.policyDelivery "files")) $v.policyResources.enabled) -}}
{{- fail "node.enabled: the daemon decides by policies and by objects (policyResources.enabled), not by repositories or attestor_ca" -}}
{{- end -}}
{{- if and $n.upstream.secretName (not $n.upstream.url) -}}
{{- fail "node.upstream.secretName without node.upstream.url: nobody is asked" -}}
{{- end -}}
{{- if and $n.upstream.url (not $n.upstream.secretName) -}}
{{- fail "node.upstream.url: as whom? node.upstream.secretName names a Secret with ca.crt, tls.crt and tls.key" -}}
{{- end -}}
{{- if and $n.hostNetwork (eq $n.dnsPolicy "ClusterFirst") -}}
{{- fail "node.dnsPolicy: with node.hostNetwork the Services of the cluster are found by ClusterFirstWithHostNet" -}}
{{- end -}}
{{- if and $n.containerd.verifier (not $n.containerd.fallbackPolicies) (or (kindIs "string" $v.image) (not $v.image.digest)) -}}
{{- fail "node.containerd.verifier: without a daemon a node could not pull the daemon's own image, and so never have one: give image.digest, which is allowed then, or node.containerd.fallbackPolicies" -}}
{{- end -}}
{{- if and $n.containerd.canary.enabled (not $n.containerd.verifier) -}}
{{- fail "node.containerd.canary without node.containerd.verifier: nobody would refuse it" -}}
{{- end -}}
{{- if and $n.containerd.canary.enabled (not $n.hostNetwork) -}}
{{- fail "node.containerd.canary without node.hostNetwork: containerd asks the canary's registry at the loopback address of the node" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Where Assay must not be, and where two of them could not start without each other. Without a cluster nothing is found. */ -}}
{{- define "assay.checkNeighbours" -}}
{{- $own := .Release.Namespace -}}
{{- if has $own (list "kube-system" "kube-public" "kube-node-lease") -}}
{{- fail (printf "the namespace %s is no place for Assay: it may make Secrets in its own, and with those of %s whoever breaks into it has the cluster. Give it a namespace of its own" $own $own) -}}
{{- end -}}
{{- if eq (include "assay.scopeMode" .) "all" -}}
{{- $name := include "assay.fullname" . -}}
{{- $exempt := include "assay.exemptNamespaces" . | fromJsonArray -}}
{{- range (lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" "").items -}}
{{- if and (eq (get (.metadata.labels | default dict) "app.kubernetes.io/name") "assay") (ne .metadata.name $name) -}}
{{- $webhook := first (.webhooks | default (list dict)) -}}
{{- $other := dig "clientConfig" "service" "namespace" "" $webhook -}}
{{- $asked := true -}}
{{- range dig "namespaceSelector" "matchExpressions" list $webhook -}}
{{- if or (eq .operator "In") (and (eq .key "kubernetes.io/metadata.name") (has $own .values)) -}}{{- $asked = false -}}{{- end -}}
{{- end -}}
{{- if and $asked $other (not (has $other $exempt)) -}}
{{- fail (printf "the release in the namespace %s would decide about the pods of this one, and this one about its: after an outage of both neither could start. Add %s to scope.exemptNamespaces (the default is kube-system)" $other $other) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "assay.checkCertificates" -}}
{{- $c := include "assay.certificates" . | fromYaml -}}
{{- if and (eq $c.mode "secret") (not $c.secretName) -}}
{{- fail "certificates.mode is secret: certificates.secretName names the Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- if and (eq $c.mode "secret") $c.ca (not (contains "-----BEGIN CERTIFICATE-----" (include "assay.pem" $c.ca))) -}}
{{- fail "certificates.ca: no certificate in PEM, nor base64 of one" -}}
{{- end -}}
{{- if and (eq $c.mode "certManager") (not $c.issuer.name) $c.noOwnIssuer -}}
{{- fail "webhookTLS.generateSelfSigned is false: webhookTLS.issuer names who issues the certificate" -}}
{{- end -}}
{{- if and (eq $c.mode "own") $c.noOwnIssuer -}}
{{- fail "webhookTLS: neither useCertManager nor generateSelfSigned: webhookTLS.secretName names the Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- end -}}

{{- define "assay.checkEnv" -}}
{{- $env := include "assay.env" . | fromYaml -}}
{{- range $name, $value := $env -}}
{{- if eq $name "DIAWH_ATTESTOR_CA_CERT" -}}
{{- fail "env.DIAWH_ATTESTOR_CA_CERT: the chart mounts the CA itself; give its content as attestor_ca" -}}
{{- else if or (eq $name "DIAWH_TLS_CERT") (eq $name "DIAWH_TLS_KEY") -}}
{{- fail (printf "env.%s: the chart mounts the certificate itself; name its Secret by certificates.secretName" $name) -}}
{{- else if and (eq $name "DIAWH_PROTOCOL") (ne $value "https") -}}
{{- fail "env.DIAWH_PROTOCOL: the API server calls webhooks over https only; leave it out" -}}
{{- else if and (eq $name "DIAWH_PORT") (not (regexMatch "^[1-9][0-9]{0,4}$" $value)) -}}
{{- fail (printf "env.DIAWH_PORT: %q is no port" $value) -}}
{{- else if and (hasPrefix "DIAWH_" $name) (not (has $name (list "DIAWH_PROTOCOL" "DIAWH_PORT" "DIAWH_CORS" "DIAWH_REGISTRY_SKIP_VERIFY"))) -}}
{{- fail (printf "env.%s: DIA has no such setting; there are DIAWH_PORT, DIAWH_PROTOCOL, DIAWH_CORS, DIAWH_REGISTRY_SKIP_VERIFY and DIGEST_SLICE" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A predecessor's own image would be run with arguments that it does not know. */ -}}
{{- define "assay.checkImage" -}}
{{- $name := include "assay.image" . | splitList "/" | last -}}
{{- if regexMatch "^(diawh|dia-webhook|dia-wh|opa-notary-connector|container-signature-enforcer)([:@-]|$)" $name -}}
{{- fail (printf "image: %s is the program that Assay takes the place of; remove the value, or name Assay's image" $name) -}}
{{- end -}}
{{- end -}}
