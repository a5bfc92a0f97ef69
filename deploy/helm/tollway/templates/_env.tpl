{{/* Environment lists, as YAML arrays. "secretEnv" takes {name, secret, key}. */}}
{{- define "tollway.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret | quote }}
      key: {{ .key | quote }}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "tollway.env.shared" -}}
{{- $values := .root.Values -}}
- name: TOLLWAY_LOG_LEVEL
  value: {{ $values.logLevel | quote }}
- name: TOLLWAY_METRICS_LISTEN
  value: {{ printf "%s:9090" $values.listenHost | quote }}
{{- with $values.otel }}
{{- if .endpoint }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: http/protobuf
- name: OTEL_SERVICE_NAME
  value: {{ printf "tollway-%s" $.component | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .sampleRatio | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ include "tollway.resourceAttributes" $ | quote }}
{{- if .headers.existingSecret }}
{{ include "tollway.secretEnv" (dict "name" "OTEL_EXPORTER_OTLP_HEADERS" "secret" .headers.existingSecret "key" .headers.key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "tollway.resourceAttributes" -}}
{{- $pairs := list (printf "k8s.namespace.name=%s" .root.Release.Namespace) "k8s.pod.name=$(POD_NAME)" "k8s.container.name=tollway" -}}
{{- range $name, $value := .root.Values.otel.resourceAttributes -}}
{{- $pairs = append $pairs (printf "%s=%s" $name $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* Takes a component's drain values. */}}
{{- define "tollway.env.drain" -}}
- name: TOLLWAY_DRAIN_DELAY_S
  value: {{ .delaySeconds | quote }}
- name: TOLLWAY_DRAIN_TIMEOUT_S
  value: {{ .timeoutSeconds | quote }}
{{- end -}}

{{- define "tollway.env.database" -}}
{{ include "tollway.secretEnv" (dict "name" "TOLLWAY_DATABASE_URL" "secret" .Values.postgres.existingSecret "key" .Values.postgres.keys.url) }}
{{- end -}}

{{- define "tollway.env.planeToken" -}}
{{ include "tollway.secretEnv" (dict "name" "TOLLWAY_PLANE_TOKEN" "secret" .Values.secrets.existingSecret "key" .Values.secrets.keys.planeToken) }}
{{- end -}}

{{- define "tollway.env.dataplane" -}}
{{- $c := .Values.dataplane -}}
{{ include "tollway.env.shared" (dict "root" . "component" "dataplane") }}
- name: TOLLWAY_LISTEN
  value: {{ printf "%s:8080" .Values.listenHost | quote }}
- name: TOLLWAY_CONTROLPLANE_ADDRESS
  value: {{ include "tollway.feedAddress" . | quote }}
{{ include "tollway.env.planeToken" . }}
{{ include "tollway.secretEnv" (dict "name" "TOLLWAY_NATS_URL" "secret" .Values.nats.existingSecret "key" .Values.nats.keys.dataplaneUrl) }}
- name: TOLLWAY_SPOOL_DIR
  value: /var/lib/tollway/spool
- name: TOLLWAY_WORKERS
  value: {{ $c.workers | quote }}
{{ include "tollway.env.drain" $c.drain }}
{{- if .Values.tls.existingSecret }}
- name: TOLLWAY_TLS_CA
  value: /etc/tollway/tls/ca.crt
{{- if .Values.tls.dataplane.existingSecret }}
- name: TOLLWAY_TLS_CERT
  value: /etc/tollway/tls/tls.crt
- name: TOLLWAY_TLS_KEY
  value: /etc/tollway/tls/tls.key
{{- end }}
{{- else }}
- name: TOLLWAY_INSECURE_PLANE
  value: "1"
{{- end }}
{{- if $c.apiTls.existingSecret }}
- name: TOLLWAY_API_TLS_CERT
  value: /etc/tollway/api-tls/tls.crt
- name: TOLLWAY_API_TLS_KEY
  value: /etc/tollway/api-tls/tls.key
{{- end }}
{{- end -}}

{{- define "tollway.env.controlplane" -}}
{{- $secret := .Values.secrets.existingSecret -}}
{{- $keys := .Values.secrets.keys -}}
{{ include "tollway.env.shared" (dict "root" . "component" "controlplane") }}
- name: TOLLWAY_ADMIN_LISTEN
  value: {{ printf "%s:8081" .Values.listenHost | quote }}
- name: TOLLWAY_GRPC_LISTEN
  value: {{ printf "%s:8082" .Values.listenHost | quote }}
{{ include "tollway.env.drain" .Values.controlplane.drain }}
{{ include "tollway.env.database" . }}
{{ include "tollway.env.planeToken" . }}
{{ include "tollway.secretEnv" (dict "name" "TOLLWAY_ENCRYPTION_KEY" "secret" $secret "key" $keys.encryptionKey) }}
{{ include "tollway.secretEnv" (dict "name" "TOLLWAY_KEY_PEPPER" "secret" $secret "key" $keys.keyPepper) }}
{{- if $keys.adminToken }}
{{ include "tollway.secretEnv" (dict "name" "TOLLWAY_ADMIN_TOKEN" "secret" $secret "key" $keys.adminToken) }}
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: TOLLWAY_TLS_CERT
  value: /etc/tollway/tls/tls.crt
- name: TOLLWAY_TLS_KEY
  value: /etc/tollway/tls/tls.key
{{- if .Values.tls.dataplane.existingSecret }}
- name: TOLLWAY_TLS_CA
  value: /etc/tollway/tls/ca.crt
{{- end }}
{{- else }}
- name: TOLLWAY_INSECURE_ADMIN
  value: "1"
{{- end }}
{{- end -}}

{{- define "tollway.env.consumer" -}}
{{ include "tollway.env.shared" (dict "root" . "component" "consumer") }}
{{ include "tollway.env.database" . }}
{{ include "tollway.secretEnv" (dict "name" "TOLLWAY_NATS_URL" "secret" .Values.nats.existingSecret "key" .Values.nats.keys.consumerUrl) }}
- name: TOLLWAY_USAGE_STREAM_REPLICAS
  value: {{ .Values.consumer.stream.replicas | quote }}
- name: TOLLWAY_USAGE_STREAM_MAX_BYTES
  value: {{ int64 .Values.consumer.stream.maxBytes | quote }}
- name: TOLLWAY_USAGE_TAP_DAYS
  value: {{ int64 .Values.consumer.tap.days | quote }}
- name: TOLLWAY_USAGE_TAP_MAX_BYTES
  value: {{ int64 .Values.consumer.tap.maxBytes | quote }}
- name: TOLLWAY_LEDGER_RETENTION_DAYS
  value: {{ int64 .Values.consumer.retentionDays | quote }}
{{- end -}}

{{- define "tollway.env.migrations" -}}
{{ include "tollway.env.database" . }}
{{- end -}}

{{/* The component's own environment and its extraEnv. Takes {root, component}. */}}
{{- define "tollway.env" -}}
{{- $own := include (printf "tollway.env.%s" .component) .root | fromYamlArray -}}
{{- $names := list -}}
{{- range $own -}}{{- $names = append $names .name -}}{{- end -}}
{{- range (index .root.Values .component).extraEnv -}}
{{- if has .name $names -}}
{{- fail (printf "\n\n%s.extraEnv sets %s, which the chart sets itself. Use the chart's value for it (README.md lists them), and take it out of extraEnv.\n" $.component .name) -}}
{{- end -}}
{{- $own = append $own . -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}
