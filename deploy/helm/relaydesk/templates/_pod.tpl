{{/* What every pod of ours has: it may do nothing that it need not. */}}

{{- define "relaydesk.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false # they would be unknown RELAYDESK_* settings
securityContext:
  runAsNonRoot: true
  {{- range $who, $number := .root.Values.podSecurity }}
  {{- if $number }}
  {{ $who }}: {{ int $number }}
  {{- end }}
  {{- end }}
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "relaydesk.containerSecurity" -}}
image: {{ include "relaydesk.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "relaydesk.mounts" -}}
- { name: tmp, mountPath: /tmp }
{{- range $volume, $secret := include "relaydesk.files" . | fromYaml }}
- { name: {{ $volume }}, mountPath: /etc/relaydesk/{{ $volume }}, readOnly: true }
{{- end }}
{{- end }}

{{- define "relaydesk.volumes" -}}
- name: tmp
  emptyDir: { sizeLimit: {{ .tmpSize }} }
{{- range $volume, $secret := include "relaydesk.files" . | fromYaml }}
- name: {{ $volume }}
  secret: { secretName: {{ $secret }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{/* A container's end of one command: plain settings inline, for pods that live shortly. */}}
{{- define "relaydesk.commandEnv" -}}
{{- range $variable, $value := include "relaydesk.settings" . | fromYaml }}
- { name: {{ $variable }}, value: {{ $value | quote }} }
{{- end }}
{{ include "relaydesk.env" . }}
{{- end }}
