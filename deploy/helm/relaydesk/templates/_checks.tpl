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

{{- define "relaydesk.noOtherLogin" -}}
{{- $given := list }}
{{- range $name, $value := dict "kafka.sasl.mechanism" .Values.kafka.sasl.mechanism "kafka.sasl.username" .Values.kafka.sasl.username "topics.job.kafkaUsername" .Values.topics.job.kafkaUsername }}
{{- if $value }}{{ $given = append $given $name }}{{ end }}
{{- end }}
{{- range $name := keys .Values.services | sortAlpha }}
{{- if (include "relaydesk.service" (dict "root" $ "name" $name) | fromYaml).kafkaUsername }}{{ $given = append $given (printf "services.%s.kafkaUsername" $name) }}{{ end }}
{{- end }}
{{- with $given }}
{{- fail (printf "%s: with topics.strimzi.users everybody logs in as the KafkaUser of their own, by SCRAM-SHA-512; take it away, or topics.strimzi.users" (first .)) }}
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
