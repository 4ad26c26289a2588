{{/* What a process is told: plain settings (a ConfigMap's data), and the environment that comes from elsewhere. */}}

{{- define "relaydesk.strimziUsers" -}}
{{- with .Values.topics }}{{ if and (eq .manage "strimzi") .strimzi.users }}true{{ end }}{{ end }}
{{- end }}

{{/* How Kafka is reached: the values, or what Strimzi makes of its cluster. */}}
{{- define "relaydesk.kafka" -}}
{{- $kafka := deepCopy .Values.kafka }}
{{- $strimzi := .Values.topics.strimzi }}
{{- if include "relaydesk.strimziUsers" . }}
{{- include "relaydesk.noOtherLogin" . }}
{{- $_ := set $kafka "securityProtocol" "SASL_SSL" }}
{{- $_ := set $kafka.sasl "mechanism" "SCRAM-SHA-512" }}
{{- if not $kafka.bootstrapServers }}{{ $_ := set $kafka "bootstrapServers" (printf "%s-kafka-bootstrap.%s.svc:9093" $strimzi.cluster .Release.Namespace) }}{{ end }}
{{- if not $kafka.ca.secret }}{{ $_ := set $kafka "ca" (dict "secret" (printf "%s-cluster-ca-cert" $strimzi.cluster) "key" "ca.crt") }}{{ end }}
{{- end }}
{{- $_ := required "kafka.bootstrapServers is needed: host:port, separated by commas (or topics.strimzi.cluster and users)" $kafka.bootstrapServers }}
{{- include "relaydesk.checkKafka" $kafka }}
{{- toYaml $kafka }}
{{- end }}

{{/* The user that a principal (a service, or the command) logs in as. */}}
{{- define "relaydesk.kafkaUser" -}}
{{- if include "relaydesk.strimziUsers" .root }}{{ include "relaydesk.fullname" .root }}-{{ .name }}
{{- else if eq .name "relaydesk" }}{{ .root.Values.topics.job.kafkaUsername | default .default }}
{{- else }}{{ (include "relaydesk.service" . | fromYaml).kafkaUsername | default .default }}{{ end }}
{{- end }}

{{- define "relaydesk.secret" -}}
{{- $own := "" }}
{{- if eq .name "relaydesk" }}{{ $own = .root.Values.topics.job.existingSecret }}
{{- else }}{{ $own = (include "relaydesk.service" . | fromYaml).existingSecret }}{{ end }}
{{- $own | default (required "existingSecret is needed: `relaydesk secrets --kubernetes NAME` prints one to complete" .root.Values.existingSecret) }}
{{- end }}

{{/* Plain settings of a service or of the command, as YAML: only those it knows, only those that are set. */}}
{{- define "relaydesk.settings" -}}
{{- $values := .root.Values }}
{{- $fullname := include "relaydesk.fullname" .root }}
{{- $kafka := include "relaydesk.kafka" .root | fromYaml }}
{{- $sasl := $kafka.sasl.mechanism }}
{{- $oauth := eq $sasl "OAUTHBEARER" }}
{{- $known := (ternary .contract.toolbox .contract.command (.toolbox | default false)).settings }}
{{- if ne .name "relaydesk" }}{{ $known = (index .contract.services .name).settings }}{{ end }}
{{- $all := dict
  "RELAYDESK_HOST" $values.listenAddress
  "RELAYDESK_DRAIN_S" (toString $values.shutdown.drainSeconds)
  "RELAYDESK_ALLOW_PRIVATE_URLS" (toString $values.outbound.allowPrivateUrls)
  "RELAYDESK_KAFKA" $kafka.bootstrapServers
  "RELAYDESK_TOPIC_PREFIX" $kafka.topicPrefix
  "RELAYDESK_TOPIC_PARTITIONS" (int $values.topics.partitions | toString)
  "RELAYDESK_KAFKA_LEAVE_ON_STOP" "true"
  "RELAYDESK_KAFKA_SECURITY_PROTOCOL" $kafka.securityProtocol
  "RELAYDESK_KAFKA_SASL_MECHANISM" $sasl
  "RELAYDESK_KAFKA_CA_FILE" (ternary (printf "/etc/relaydesk/kafka-ca/%s" $kafka.ca.key) "" (ne $kafka.ca.secret ""))
  "RELAYDESK_MONGO_PREFIX" $values.mongo.prefix
  "RELAYDESK_S3_BUCKET" $values.s3.bucket
  "RELAYDESK_S3_REGION" $values.s3.region
  "RELAYDESK_S3" (required "s3.endpoint is needed, for example https://s3.eu-central-1.amazonaws.com" $values.s3.endpoint)
  "RELAYDESK_S3_PUBLIC" $values.s3.publicEndpoint
  "RELAYDESK_JWT_JWKS_URL" $values.auth.jwksUrl
  "RELAYDESK_JWT_KEYS" (ternary (printf "/etc/relaydesk/jwt/%s" $values.auth.keys.key) "" (ne $values.auth.keys.secret ""))
  "RELAYDESK_JWT_ISSUER" $values.auth.issuer
  "RELAYDESK_JWT_AUDIENCE" $values.auth.audience
  "RELAYDESK_JWT_CLAIM_MEMBER" $values.auth.claims.member
  "RELAYDESK_JWT_CLAIM_WORKSPACE" $values.auth.claims.workspace
  "RELAYDESK_JWT_CLAIM_ROLE" $values.auth.claims.role
  "RELAYDESK_JWT_CLAIM_NAME" $values.auth.claims.name
  "RELAYDESK_MEDIA_WORKERS" "1"
  "RELAYDESK_GATEWAY_STREAM_RING" (include "relaydesk.ring" .root)
  "RELAYDESK_GATEWAY_STREAM_URL" (printf "%s://%s%s" (ternary "wss" "ws" $values.ingress.tls) $values.host .contract.streamPath)
  "RELAYDESK_GATEWAY_CONSOLE_ORIGINS" (regexFind "^https?://[^/]+" ($values.s3.publicEndpoint | default $values.s3.endpoint))
}}
{{- if $values.traces.endpoint }}
{{- $_ := set $all "RELAYDESK_TRACES_ENDPOINT" $values.traces.endpoint }}
{{- $_ := set $all "RELAYDESK_TRACES_SAMPLE" (toString $values.traces.sample) }}
{{- end }}
{{- if eq (empty $values.auth.jwksUrl) (empty $values.auth.keys.secret) }}
{{- fail "auth: give exactly one of auth.jwksUrl and auth.keys.secret: who signs the tokens of members" }}
{{- end }}
{{- if and $sasl (not $oauth) }}
{{- $_ := set $all "RELAYDESK_KAFKA_SASL_USERNAME" (include "relaydesk.kafkaUser" (merge (dict "default" $kafka.sasl.username) .) | required (printf "kafka.sasl.username is needed: who logs in as %s" .name)) }}
{{- end }}
{{- if $oauth }}
{{- $_ := set $all "RELAYDESK_KAFKA_OAUTH_TOKEN_URL" $kafka.oauth.tokenUrl }}
{{- $_ := set $all "RELAYDESK_KAFKA_OAUTH_CLIENT_ID" (include "relaydesk.kafkaUser" (merge (dict "default" $kafka.oauth.clientId) .) | required (printf "kafka.oauth.clientId is needed: who logs in as %s" .name)) }}
{{- $_ := set $all "RELAYDESK_KAFKA_OAUTH_SCOPE" $kafka.oauth.scope }}
{{- end }}
{{- if $kafka.certificate.secret }}
{{- $_ := set $all "RELAYDESK_KAFKA_CERT_FILE" (printf "/etc/relaydesk/kafka-certificate/%s" $kafka.certificate.certificateKey) }}
{{- $_ := set $all "RELAYDESK_KAFKA_KEY_FILE" (printf "/etc/relaydesk/kafka-certificate/%s" $kafka.certificate.privateKeyKey) }}
{{- end }}
{{- range $service, $of := .contract.services }}
{{- range $port, $number := $of.ports }}
{{- $_ := set $all (printf "RELAYDESK_%s_%s_PORT" (upper $service) (upper $port)) (toString (int $number)) }}
{{- end }}
{{- range $variable, $callee := $of.calls }}
{{- $_ := set $all $variable (printf "http://%s-%s:%d" $fullname $callee (int (index $.contract.services $callee).ports.http)) }}
{{- end }}
{{- end }}
{{- $all = mergeOverwrite $all (deepCopy $values.settings) }}
{{- $of := dict "root" .root "name" (ternary "gateway" .name (.toolbox | default false)) }}
{{- if ne $of.name "relaydesk" }}
{{- $all = mergeOverwrite $all (deepCopy (include "relaydesk.service" $of | fromYaml).settings) }}
{{- end }}
{{- range $variable, $value := $all }}
{{- if and (has $variable $known) (ne $value "") }}
{{ $variable }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Bytes of a ring, where the default for each of more than 12 partitions would pass the gateway's limit of memory. */}}
{{- define "relaydesk.ring" -}}
{{- $partitions := int .Values.topics.partitions }}
{{- if gt $partitions 12 }}{{ max 1048576 (div 402653184 $partitions) }}{{ end }}
{{- end }}

{{/* The environment beside the plain settings: the pod's name, and what is in Secrets. */}}
{{- define "relaydesk.env" -}}
{{- $kafka := include "relaydesk.kafka" .root | fromYaml }}
{{- $of := ternary .contract.toolbox .contract.command (.toolbox | default false) }}
{{- if ne .name "relaydesk" }}{{ $of = index .contract.services .name }}{{ end }}
{{- $secret := include "relaydesk.secret" . }}
{{- $oauth := eq $kafka.sasl.mechanism "OAUTHBEARER" }}
- name: RELAYDESK_INSTANCE # the membership in consumer groups: a container that is started again takes over at once
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- range $variable, $is := $of.secrets }}
{{- if eq $variable "RELAYDESK_KAFKA_SASL_PASSWORD" }}
{{- if and $kafka.sasl.mechanism (not $oauth) }}
- name: {{ $variable }}
  {{- if include "relaydesk.strimziUsers" $.root }}
  valueFrom: { secretKeyRef: { name: {{ include "relaydesk.kafkaUser" (merge (dict "default" "") $) }}, key: password } }
  {{- else }}
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: {{ $variable }} } }
  {{- end }}
{{- end }}
{{- else if eq $variable "RELAYDESK_KAFKA_OAUTH_CLIENT_SECRET" }}
{{- if $oauth }}
- name: {{ $variable }}
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: {{ $variable }} } }
{{- end }}
{{- else }}
{{- if $.toolbox }}{{ $secret = $.root.Values.toolbox.existingSecret | default $.root.Values.existingSecret }}{{ end }}
- name: {{ $variable }}
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: {{ $variable }}{{ if $is.optional }}, optional: true{{ end }} } }
{{- end }}
{{- end }}
{{- if .root.Values.ca.secret }}
- name: SSL_CERT_FILE
  value: /etc/relaydesk/ca/{{ .root.Values.ca.key }}
{{- end }}
{{- end }}

{{/* Files that settings name: volume -> Secret. `auth`: whether this process checks tokens. */}}
{{- define "relaydesk.files" -}}
{{- $kafka := include "relaydesk.kafka" .root | fromYaml }}
{{- $files := dict }}
{{- if $kafka.ca.secret }}{{ $_ := set $files "kafka-ca" $kafka.ca.secret }}{{ end }}
{{- if $kafka.certificate.secret }}{{ $_ := set $files "kafka-certificate" $kafka.certificate.secret }}{{ end }}
{{- if .root.Values.ca.secret }}{{ $_ := set $files "ca" .root.Values.ca.secret }}{{ end }}
{{- if and .root.Values.auth.keys.secret (ne .name "relaydesk") }}
{{- if has "RELAYDESK_JWT_KEYS" (index .contract.services .name).settings }}{{ $_ := set $files "jwt" .root.Values.auth.keys.secret }}{{ end }}
{{- end }}
{{- toYaml $files }}
{{- end }}
