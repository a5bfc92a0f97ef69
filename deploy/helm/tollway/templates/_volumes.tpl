{{/* Volumes and mounts, as YAML arrays; each takes {root, component}. */}}
{{- define "tollway.volumes" -}}
{{- $values := .root.Values -}}
{{- $c := index $values .component -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ dig "tmp" "sizeLimit" "64Mi" $c }}
{{- if eq .component "dataplane" }}
- name: spool
  emptyDir:
    sizeLimit: {{ $c.spool.sizeLimit }}
{{- with $c.apiTls }}
{{- if .existingSecret }}
- name: api-tls
  secret:
    secretName: {{ .existingSecret | quote }}
    defaultMode: 0440
    items:
      - key: {{ .keys.cert | quote }}
        path: tls.crt
      - key: {{ .keys.key | quote }}
        path: tls.key
{{- end }}
{{- end }}
{{- end }}
{{- if and $values.tls.existingSecret (has .component (list "dataplane" "controlplane")) }}
- name: tls
  projected:
    defaultMode: 0440
    sources:
      {{- include (printf "tollway.tlsSources.%s" .component) $values.tls | nindent 6 }}
{{- end }}
{{- with $c.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The data plane never sees the control plane's private key. */}}
{{- define "tollway.tlsSources.dataplane" -}}
- secret:
    name: {{ .existingSecret | quote }}
    items:
      - key: {{ .keys.ca | quote }}
        path: ca.crt
{{- with .dataplane }}
{{- if .existingSecret }}
- secret:
    name: {{ .existingSecret | quote }}
    items:
      - key: {{ .keys.cert | quote }}
        path: tls.crt
      - key: {{ .keys.key | quote }}
        path: tls.key
{{- end }}
{{- end }}
{{- end -}}

{{- define "tollway.tlsSources.controlplane" -}}
- secret:
    name: {{ .existingSecret | quote }}
    items:
      - key: {{ .keys.cert | quote }}
        path: tls.crt
      - key: {{ .keys.key | quote }}
        path: tls.key
      {{- if .dataplane.existingSecret }}
      - key: {{ .keys.ca | quote }}
        path: ca.crt
      {{- end }}
{{- end -}}

{{- define "tollway.volumeMounts" -}}
{{- $values := .root.Values -}}
{{- $c := index $values .component -}}
- name: tmp
  mountPath: /tmp
{{- if eq .component "dataplane" }}
- name: spool
  mountPath: /var/lib/tollway/spool
{{- if $c.apiTls.existingSecret }}
- name: api-tls
  mountPath: /etc/tollway/api-tls
  readOnly: true
{{- end }}
{{- end }}
{{- if and $values.tls.existingSecret (has .component (list "dataplane" "controlplane")) }}
- name: tls
  mountPath: /etc/tollway/tls
  readOnly: true
{{- end }}
{{- with $c.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Names of the Secrets that a component reads. */}}
{{- define "tollway.secretNames" -}}
{{- $values := .root.Values -}}
{{- $names := list -}}
{{- if has .component (list "dataplane" "controlplane") -}}
{{- $names = concat $names (list $values.secrets.existingSecret $values.tls.existingSecret $values.tls.dataplane.existingSecret) -}}
{{- end -}}
{{- if has .component (list "controlplane" "consumer") -}}
{{- $names = append $names $values.postgres.existingSecret -}}
{{- end -}}
{{- if has .component (list "dataplane" "consumer") -}}
{{- $names = append $names $values.nats.existingSecret -}}
{{- end -}}
{{- if eq .component "dataplane" -}}
{{- $names = append $names $values.dataplane.apiTls.existingSecret -}}
{{- end -}}
{{- $names = append $names $values.otel.headers.existingSecret -}}
{{- compact $names | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* Changes when a Secret that the component reads was changed: of resource versions, never of what is inside. */}}
{{- define "tollway.secretsChecksum" -}}
{{- $versions := list -}}
{{- range include "tollway.secretNames" . | fromJsonArray -}}
{{- $secret := lookup "v1" "Secret" $.root.Release.Namespace . -}}
{{- $versions = append $versions (printf "%s=%s" . (dig "metadata" "resourceVersion" "" $secret)) -}}
{{- end -}}
{{- join "," $versions | sha256sum -}}
{{- end -}}
