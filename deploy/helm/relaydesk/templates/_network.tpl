{{/* Rules of network policies. */}}

{{/* An egress rule: ports (each once), to (peers; none = anywhere).
`internet`: the policy's part of that name, for a service that calls addresses which customers gave. It may reach private
addresses only where they are named; so "anywhere" leaves out the ports on which customers' addresses are called (a rule
of its own lets public ones through), and never means the addresses where machines learn their own keys. */}}
{{- define "relaydesk.egress" -}}
{{- $ports := .ports | uniq }}
{{- if and .internet (not .to) }}
{{- $left := list }}
{{- range $ports }}{{ if not (has (int .) $.called) }}{{ $left = append $left . }}{{ end }}{{ end }}
{{- $ports = $left }}
{{- end }}
{{- if $ports }}
- ports:
    {{- range $ports }}
    - { port: {{ int . }}, protocol: TCP }
    {{- end }}
  {{- if .to }}
  to: {{- toYaml .to | nindent 4 }}
  {{- else if .internet }}
  to: {{- include "relaydesk.anywhereButMetadata" . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* All pods (an ipBlock means none of them with some network plugins) and all addresses, but those of cloud metadata:
link-local, Alibaba's, Oracle's, Azure's, AWS's of IPv6. */}}
{{- define "relaydesk.anywhereButMetadata" -}}
- namespaceSelector: {}
- ipBlock: { cidr: 0.0.0.0/0, except: [169.254.0.0/16, 100.100.100.200/32, 192.0.0.192/32, 168.63.129.16/32] }
- ipBlock: { cidr: "::/0", except: ["fe80::/10", "fd00:ec2::254/128"] }
{{- end }}

{{/* `what`, `url`, `to`: refuse an address inside the cluster that dispatch and media could not reach. */}}
{{- define "relaydesk.mustBeNamed" -}}
{{- $host := (urlParse .url).hostname }}
{{- if and (not .to) (not (contains ":" $host)) (has (include "relaydesk.portOf" .url | int) .called) }}
{{- if regexMatch `^[^.]+$|[.](svc|local|internal)$|[.]svc[.]|^(10|127|192[.]168|169[.]254|172[.](1[6-9]|2[0-9]|3[01]))[.][0-9.]+$` $host }}
{{- fail (printf "networkPolicy.%s.to is needed: dispatch and media reach private addresses only where they are named, and %s seems to be one" .what .url) }}
{{- end }}
{{- end }}
{{- end }}
