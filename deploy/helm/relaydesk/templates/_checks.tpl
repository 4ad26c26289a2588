{{/* What no schema can say: values that contradict each other are refused before anything is installed. */}}

{{- define "relaydesk.checks" -}}
{{- if and .Values.ingress.tlsSecret (not .Values.ingress.tls) }}
{{- fail "ingress.tls is false and ingress.tlsSecret is given: browsers would be told an address without TLS" }}
{{- end }}
{{- range $name, $of := .Values.services }}
{{- range $scaler := list "autoscaling" "keda" }}
{{- with index $of $scaler }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "services.%s.%s: minReplicas is more than maxReplicas" $name $scaler) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* As each process would refuse it at its start (shared/runtime/settings.py). */}}
{{- define "relaydesk.checkKafka" -}}
{{- if ne (hasPrefix "SASL" .securityProtocol) (ne .sasl.mechanism "") }}
{{- fail "kafka.sasl.mechanism is needed with a SASL kafka.securityProtocol, and only then" }}
{{- end }}
{{- if and (or .ca.secret .certificate.secret) (not (hasSuffix "SSL" .securityProtocol)) }}
{{- fail "kafka.ca and kafka.certificate need kafka.securityProtocol SSL or SASL_SSL" }}
{{- end }}
{{- if and (eq .sasl.mechanism "OAUTHBEARER") (not .oauth.tokenUrl) }}
{{- fail "kafka.oauth.tokenUrl is needed with OAUTHBEARER" }}
{{- end }}
{{- end }}
