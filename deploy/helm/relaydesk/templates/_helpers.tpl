{{/* Names, labels and the image. A template that needs a service gets a dict: root, name, contract; one of a command has
the name `relaydesk`, and where it needs the databases `toolbox: true`. */}}

{{- define "relaydesk.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "relaydesk.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: relaydesk
{{ include "relaydesk.selector" . }}
{{- end }}

{{/* Of pods: without what changes with the chart alone, for that would replace pods that are as they should be. */}}
{{- define "relaydesk.podLabels" -}}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: relaydesk
{{ include "relaydesk.selector" . }}
{{- end }}

{{- define "relaydesk.selector" -}}
app.kubernetes.io/name: relaydesk
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "relaydesk.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The values of a service: its own over `defaults`, as YAML. */}}
{{- define "relaydesk.service" -}}
{{ toYaml (mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (index .root.Values.services .name))) }}
{{- end }}

{{- define "relaydesk.scales" -}}
{{- $own := include "relaydesk.service" . | fromYaml }}
{{- if or (dig "autoscaling" "enabled" false $own) (dig "keda" "enabled" false $own) }}true{{ end }}
{{- end }}

{{/* The port of a URL, or of the first host:port of a list. */}}
{{- define "relaydesk.portOf" -}}
{{- if contains "://" . }}
{{- $parts := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $parts.host }}
{{- if $port }}{{ trimPrefix ":" $port }}{{ else }}{{ ternary "443" "80" (eq $parts.scheme "https") }}{{ end }}
{{- else }}{{ trimPrefix ":" (regexFind ":[0-9]+$" (first (splitList "," .))) }}{{ end }}
{{- end }}
