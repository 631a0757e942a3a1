{{- define "assay.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- /* Of the Deployment. Predecessors have one that is called like their release, and nobody can change whose pods it looks for. */ -}}
{{- define "assay.deployment" -}}
{{- $name := include "assay.fullname" . -}}
{{- if contains "assay" $name }}{{ $name }}{{ else }}{{ $name }}-assay{{ end -}}
{{- end -}}

{{- define "assay.selectorLabels" -}}
app.kubernetes.io/name: assay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "assay.labels" -}}
{{ include "assay.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* The reference of the image: an object of ours, or a text as DIA's chart has it. */ -}}
{{- define "assay.image" -}}
{{- $image := .Values.image -}}
{{- if kindIs "string" $image -}}
{{- $image -}}
{{- else if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The environment as one map, from a map or from a list of {name, value}. */ -}}
{{- define "assay.env" -}}
{{- $env := dict -}}
{{- if kindIs "slice" .Values.env -}}
{{- range .Values.env -}}{{- $_ := set $env .name (toString .value) -}}{{- end -}}
{{- else -}}
{{- range $name, $value := .Values.env -}}{{- $_ := set $env $name (toString $value) -}}{{- end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{- /* One of the variables of env as a port, or what stands in its place. */ -}}
{{- define "assay.port" -}}
{{- $env := include "assay.env" . | fromYaml -}}
{{- get $env "DIAWH_PORT" | default (toString .Values.port) -}}
{{- end -}}

{{- define "assay.servicePort" -}}
{{- $env := include "assay.env" . | fromYaml -}}
{{- get $env "DIAWH_PORT" | default (toString .Values.service.port) -}}
{{- end -}}

{{- /* PEM, from that or from base64 of it. */ -}}
{{- define "assay.pem" -}}
{{- if contains "-----BEGIN" . }}{{ . }}{{ else }}{{ . | replace "\n" "" | replace " " "" | trim | b64dec }}{{ end -}}
{{- end -}}

{{- /* Where the certificate of the webhook comes from, DIA's values included: {mode, issuer, secretName, ca}. */ -}}
{{- define "assay.certificates" -}}
{{- $ours := .Values.certificates -}}
{{- $dia := .Values.webhookTLS -}}
{{- $mode := $ours.mode -}}
{{- if hasKey $dia "useCertManager" -}}
{{- if $dia.useCertManager }}{{ $mode = "certManager" }}{{ else if $dia.secretName }}{{ $mode = "secret" }}{{ else }}{{ $mode = "own" }}{{ end -}}
{{- else if $dia.secretName -}}
{{- $mode = "secret" -}}
{{- end -}}
{{- $issuer := dict "name" $ours.issuer.name "kind" $ours.issuer.kind -}}
{{- range list .Values.issuer (get $dia "issuer") -}}
{{- if . -}}
{{- if kindIs "string" . -}}
{{- $issuer = dict "name" . "kind" "Issuer" -}}
{{- else -}}
{{- $issuer = dict "name" .name "kind" (.kind | default "Issuer") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $made := and $dia (hasKey $dia "generateSelfSigned") (not $dia.generateSelfSigned) -}}
{{- toYaml (dict "mode" $mode "issuer" $issuer "secretName" ($dia.secretName | default $ours.secretName) "ca" ($dia.ca | default $ours.ca) "noOwnIssuer" (ternary true false (not (empty $made)))) -}}
{{- end -}}

{{- /* The Secret of the server's certificate, where that is somebody else's: never the one with the own CA. */ -}}
{{- define "assay.certificateSecret" -}}
{{- $c := include "assay.certificates" . | fromYaml -}}
{{- if eq $c.mode "secret" }}{{ $c.secretName }}{{ else }}{{ include "assay.fullname" . }}-issued-tls{{ end -}}
{{- end -}}

{{- /* Whether Assay itself has the webhooks trust somebody. */ -}}
{{- define "assay.injects" -}}
{{- $c := include "assay.certificates" . | fromYaml -}}
{{- if or (eq $c.mode "own") (and (eq $c.mode "secret") $c.ca) }}true{{ end -}}
{{- end -}}

{{- /* all or optIn. */ -}}
{{- define "assay.scopeMode" -}}
{{- if ne .Values.scope.mode "auto" -}}
{{- .Values.scope.mode -}}
{{- else if and .Values.attestor_ca (not .Values.repositories) -}}
optIn
{{- else -}}
all
{{- end -}}
{{- end -}}

{{- /* The namespaces in which everything is allowed, each once, as a list in JSON. */ -}}
{{- define "assay.exemptNamespaces" -}}
{{- $all := concat .Values.scope.exemptNamespaces (list .Release.Namespace) .Values.skipNamespaces -}}
{{- $certificates := include "assay.certificates" . | fromYaml -}}
{{- $namespace := get (index .Values "cert-manager") "namespace" -}}
{{- if and $namespace (eq $certificates.mode "certManager") -}}
{{- $all = append $all $namespace -}}
{{- end -}}
{{- $all | uniq | toJson -}}
{{- end -}}

{{- /* The label selectors of the webhooks, as a list in JSON of {name, expressions}: one selector cannot say "or". */ -}}
{{- define "assay.selectors" -}}
{{- $common := list (dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" (include "assay.exemptNamespaces" . | fromJsonArray)) -}}
{{- $out := .Values.scope.optOut -}}
{{- if $out.key -}}
{{- $common = append $common (dict "key" $out.key "operator" "NotIn" "values" (list $out.value)) -}}
{{- end -}}
{{- $all := list -}}
{{- if eq (include "assay.scopeMode" .) "optIn" -}}
{{- range .Values.scope.optIn -}}
{{- $name := .key | lower | replace "/" "." | replace "_" "-" -}}
{{- $all = append $all (dict "name" (printf "%s." $name) "expressions" (append $common (dict "key" .key "operator" "In" "values" (list .value)))) -}}
{{- end -}}
{{- else -}}
{{- $all = list (dict "name" "" "expressions" $common) -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{- /* The keys of the labels that decide about scope, as a list in JSON. */ -}}
{{- define "assay.scopeLabels" -}}
{{- $all := .Values.scope.guardedLabels -}}
{{- if .Values.scope.optOut.key -}}{{- $all = append $all .Values.scope.optOut.key -}}{{- end -}}
{{- if eq (include "assay.scopeMode" .) "optIn" -}}
{{- range .Values.scope.optIn -}}{{- $all = append $all .key -}}{{- end -}}
{{- end -}}
{{- $all | uniq | sortAlpha | toJson -}}
{{- end -}}

{{- /* What the webhooks are asked about. */ -}}
{{- define "assay.rules" -}}
- operations: [CREATE, UPDATE]
  apiGroups: [""]
  apiVersions: ["*"]
  resources: [pods, pods/ephemeralcontainers, replicationcontrollers, podtemplates]
  scope: Namespaced
- operations: [CREATE, UPDATE]
  apiGroups: [apps]
  apiVersions: ["*"]
  resources: [deployments, replicasets, statefulsets, daemonsets]
  scope: Namespaced
- operations: [CREATE, UPDATE]
  apiGroups: [batch]
  apiVersions: ["*"]
  resources: [jobs, cronjobs]
  scope: Namespaced
{{- range .Values.kinds }}
- operations: [CREATE, UPDATE]
  apiGroups: [{{ .group | quote }}]
  apiVersions: ["*"]
  resources: [{{ .resource | quote }}]
  scope: Namespaced
{{- end }}
{{- end -}}

{{- /* The files by which the verifier of a node decides without a daemon. Without policies of its own they allow the daemon's image, by its digest. */ -}}
{{- define "assay.nodeFallback" -}}
{{- $v := .Values -}}
{{- $policies := $v.node.containerd.fallbackPolicies -}}
{{- if not $policies -}}
{{- $rule := dict "images" (list (include "assay.image" .)) "allow" "the daemon of this node, without which nothing else could be decided about" -}}
{{- $policies = dict "assay-node" (dict "rules" (list $rule)) -}}
{{- end -}}
{{- $files := dict -}}
{{- range $policy, $spec := $policies -}}
{{- $document := dict "apiVersion" "assay.dev/v1" "kind" "TrustPolicy" "metadata" (dict "name" $policy) "spec" $spec -}}
{{- $_ := set $files (printf "%s.yaml" $policy) (toYaml $document) -}}
{{- end -}}
{{- if $v.node.containerd.fallbackPolicies -}}
{{- range $file, $content := $v.policyFiles -}}{{- $_ := set $files $file $content -}}{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- /* The Secrets of the shared cache, by what they hold: name, key, and the file that it becomes. */ -}}
{{- define "assay.sharedCacheSecrets" -}}
{{- $c := .Values.sharedCache -}}
{{- $secrets := dict -}}
{{- if $c.url -}}
{{- $_ := set $secrets "key" (dict "name" $c.keySecret "key" "shared.key" "path" "shared.key") -}}
{{- with $c.passwordSecret -}}{{- $_ := set $secrets "password" (dict "name" . "key" $c.passwordKey "path" "password") -}}{{- end -}}
{{- with $c.caSecret -}}{{- $_ := set $secrets "ca" (dict "name" . "key" "ca.crt" "path" "ca.crt") -}}{{- end -}}
{{- end -}}
{{- toYaml $secrets -}}
{{- end -}}
