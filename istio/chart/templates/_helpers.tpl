{{- define "coalmine.labels" -}}
app.kubernetes.io/name: coalmine
{{- end }}

{{- define "coalmine.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "coalmine.subjects" -}}
- kind: ServiceAccount
  name: coalmine
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* What the operator says of the server goes over what the chart says. */}}
{{- define "coalmine.configuration" -}}
{{- $configuration := dict
  "admin" "0.0.0.0:8471"
  "insecure" true
  "store" (dict "kubernetes" dict)
  "plugins" (list (pick .Values.plugin "kind" "namespace" "name"))
  "policy" (dict "slow" (list "250ms" "1s"))
  "kubernetes" (dict "tokens" dict)
}}
{{- with .Values.prometheus.url }}
{{- $_ := set $configuration "evidence" (dict "prometheus" (dict "url" .)) }}
{{- end }}
{{- with .Values.namespace }}
{{- $_ := set $configuration.kubernetes "namespace" . }}
{{- end }}
{{- if .Values.api.tlsSecret }}
{{- $_ := set $configuration "listen" "0.0.0.0:8470" }}
{{- $_ := set $configuration "tls" (dict "certificate" "/etc/coalmine-tls/tls.crt" "key" "/etc/coalmine-tls/tls.key") }}
{{- end }}
{{- mergeOverwrite $configuration (deepCopy .Values.server) | toYaml }}
{{- end }}

{{- /* Rollouts, and what they name. */}}
{{- define "coalmine.rules" -}}
- apiGroups: [coalmine.dev]
  resources: [canaryrollouts]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [coalmine.dev]
  resources: [canaryrollouts/status]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, update]     # update: stable gets the canary's pod template, `promote: copy`
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]                        # `scaleDownCanary`
- apiGroups: [""]
  resources: [services, pods]
  verbs: [list, watch]
- apiGroups: [networking.istio.io]
  resources: [virtualservices, destinationrules]
  verbs: [list, watch]
- apiGroups: [flagger.app]
  resources: [canaries]
  verbs: [list, watch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
