{{- /* The paths of what is in a value, one a line. */ -}}
{{- define "assay.paths" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .value -}}
{{- if and (kindIs "map" $value) $value -}}
{{- include "assay.paths" (dict "prefix" (printf "%s.%s" $prefix $key) "value" $value) -}}
{{- else -}}
{{- printf "%s.%s\n" $prefix $key -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Values of the predecessors' charts that were given and have no meaning here, one a line, each with what to do. */ -}}
{{- define "assay.leftovers" -}}
{{- $v := .Values -}}
{{- $c := include "assay.certificates" . | fromYaml -}}
{{- $env := include "assay.env" . | fromYaml -}}
{{- $hints := dict
  "opa.admissionControllerNamespaceSelector" "scope.optOut, scope.exemptNamespaces"
  "opa.admissionControllerFailurePolicy" "webhooks (it is Fail)"
  "opa.admissionControllerRules" "kinds (workloads are all looked at)"
  "opa.certManager.enabled" "certificates.mode: certManager"
  "opa.extraContainers" "nothing: there is one container"
  "opa.extraVolumes" "registries.files, with caFile in registries.settings"
  "opa.port" "port"
  "opa.imageTag" "image"
  "opa.imagePullPolicy" "imagePullPolicy" -}}
{{- if kindIs "map" $v.opa -}}
{{- range include "assay.paths" (dict "prefix" "opa" "value" $v.opa) | trim | splitList "\n" -}}
{{- if . -}}
{{- $path := . -}}
{{- $hint := "" -}}
{{- range $known, $text := $hints -}}{{- if or (eq $known $path) (hasPrefix (printf "%s." $known) $path) -}}{{- $hint = $text -}}{{- end -}}{{- end -}}
{{- printf "%s%s\n" . (ternary (printf ": see %s" $hint) "" (ne $hint "")) -}}
{{- end -}}
{{- end -}}
{{- else if $v.opa -}}
{{- printf "opa\n" -}}
{{- end -}}
{{- if and (not $v.strict) (not $v.repositories) -}}{{- printf "strict: it is about repositories, of which there are none\n" -}}{{- end -}}
{{- if hasKey $v.webhookTLS "installCertManager" -}}{{- printf "webhookTLS.installCertManager: install cert-manager by its own chart\n" -}}{{- end -}}
{{- if and (get $v.webhookTLS "secretName") (ne $c.mode "secret") -}}{{- printf "webhookTLS.secretName: the certificate comes from elsewhere (%s)\n" $c.mode -}}{{- end -}}
{{- if and (get $v.webhookTLS "ca") (ne $c.mode "secret") -}}{{- printf "webhookTLS.ca: the certificate comes from elsewhere (%s)\n" $c.mode -}}{{- end -}}
{{- if ne $c.mode "certManager" -}}
{{- if get $v.webhookTLS "issuer" -}}{{- printf "webhookTLS.issuer: set webhookTLS.useCertManager\n" -}}{{- end -}}
{{- if $v.issuer -}}{{- printf "issuer: set webhookTLS.useCertManager\n" -}}{{- end -}}
{{- if get (index $v "cert-manager") "namespace" -}}{{- printf "cert-manager.namespace: the certificate does not come from cert-manager; skipNamespaces exempts namespaces\n" -}}{{- end -}}
{{- end -}}
{{- range $key, $_ := index $v "cert-manager" -}}{{- if ne $key "namespace" -}}{{- printf "cert-manager.%s: install cert-manager by its own chart\n" $key -}}{{- end -}}{{- end -}}
{{- if not $v.attestor_ca -}}
{{- range list "DIGEST_SLICE" "DIAWH_PROTOCOL" "DIAWH_CORS" "DIAWH_REGISTRY_SKIP_VERIFY" -}}
{{- if hasKey $env . -}}{{- printf "env.%s: it is about attestor_ca, which is not given\n" . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
