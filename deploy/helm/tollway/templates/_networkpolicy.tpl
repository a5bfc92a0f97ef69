{{- define "tollway.egressRule" -}}
- ports:
    - port: {{ .port }}
      protocol: TCP
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Takes {port, from}. */}}
{{- define "tollway.ingressRule" -}}
- ports:
    - port: {{ .port }}
      protocol: TCP
  {{- with .from }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "tollway.peer" -}}
podSelector:
  matchLabels:
    {{- include "tollway.selectorLabels" . | nindent 4 }}
{{- end -}}

{{- define "tollway.ingressRules.dataplane" -}}
{{- $from := .Values.networkPolicy.apiFrom -}}
{{- if $from -}}
{{- $from = append $from (include "tollway.peer" (dict "root" . "component" "test") | fromYaml) -}}
{{- end -}}
{{ include "tollway.ingressRule" (dict "port" "api" "from" $from) }}
{{ include "tollway.ingressRule" (dict "port" "metrics" "from" .Values.networkPolicy.metricsFrom) }}
{{- end -}}

{{- define "tollway.ingressRules.controlplane" -}}
{{- $admin := .Values.networkPolicy.adminFrom -}}
{{- if $admin -}}
{{- $admin = append $admin (include "tollway.peer" (dict "root" . "component" "test") | fromYaml) -}}
{{- end -}}
{{- $grpc := .Values.networkPolicy.grpcFrom -}}
{{- if .Values.dataplane.enabled -}}
{{- $grpc = append $grpc (include "tollway.peer" (dict "root" . "component" "dataplane") | fromYaml) -}}
{{- end -}}
{{ include "tollway.ingressRule" (dict "port" "admin" "from" $admin) }}
{{ include "tollway.ingressRule" (dict "port" "grpc" "from" $grpc) }}
{{ include "tollway.ingressRule" (dict "port" "metrics" "from" .Values.networkPolicy.metricsFrom) }}
{{- end -}}

{{- define "tollway.ingressRules.consumer" -}}
{{ include "tollway.ingressRule" (dict "port" "metrics" "from" .Values.networkPolicy.metricsFrom) }}
{{- end -}}

{{- define "tollway.ingressRules.migrations" -}}
{{- end -}}

{{- define "tollway.ingressRules.test" -}}
{{- end -}}

{{- define "tollway.feedPorts" -}}
{{- $ports := list -}}
{{- range include "tollway.feedAddress" . | splitList "," -}}
{{- $ports = append $ports (splitList ":" . | last | int) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{- define "tollway.egressRules.dataplane" -}}
{{- $policy := .Values.networkPolicy -}}
{{ include "tollway.egressRule" $policy.nats }}
- ports:
    {{- range include "tollway.feedPorts" . | fromJsonArray }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- if not .Values.dataplane.controlplaneAddress }}
  to:
    {{- list (include "tollway.peer" (dict "root" . "component" "controlplane") | fromYaml) | toYaml | nindent 4 }}
  {{- end }}
{{ include "tollway.egressAbroad" $policy.upstreams }}
{{- end -}}

{{/* Takes {ports, except}. */}}
{{- define "tollway.egressAbroad" -}}
- ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  to:
    - ipBlock:
        cidr: 0.0.0.0/0
        {{- with .except }}
        except:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    - ipBlock:
        cidr: ::/0
        except:
          - fe80::/10
          - fd00:ec2::254/128
{{- end -}}

{{- define "tollway.egressRules.controlplane" -}}
{{ include "tollway.egressRule" .Values.networkPolicy.postgres }}
{{ include "tollway.egressAbroad" .Values.networkPolicy.webhooks }}
{{- end -}}

{{- define "tollway.egressRules.consumer" -}}
{{ include "tollway.egressRule" .Values.networkPolicy.postgres }}
{{ include "tollway.egressRule" .Values.networkPolicy.nats }}
{{- end -}}

{{- define "tollway.egressRules.migrations" -}}
{{ include "tollway.egressRule" .Values.networkPolicy.postgres }}
{{- end -}}

{{- define "tollway.egressRules.test" -}}
- ports:
    - port: 8080
      protocol: TCP
    - port: 8081
      protocol: TCP
{{- end -}}
