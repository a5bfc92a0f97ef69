{{- define "tollway.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 42 characters: the longest suffix, -controlplane-metrics, must fit into a Service's 63. */}}
{{- define "tollway.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) -}}
{{- if gt (len $full) 42 -}}
{{- printf "%s-%s" ($full | trunc 33 | trimSuffix "-") (sha256sum $full | trunc 8) -}}
{{- else -}}
{{- $full | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tollway.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "tollway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tollway.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "tollway.labels" -}}
{{- with .root.Values.commonLabels -}}
{{ toYaml . }}
{{ end -}}
{{ include "tollway.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: tollway
helm.sh/chart: {{ include "tollway.chart" .root }}
{{- end -}}

{{- define "tollway.image" -}}
{{- $image := .Values.image -}}
{{- $repository := $image.repository -}}
{{- with .Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "tollway.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (printf "%s-%s" (include "tollway.fullname" .root) .component) -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "tollway.kubeVersion" -}}
{{- .Values.kubeVersion | default .Capabilities.KubeVersion.Version -}}
{{- end -}}

{{- define "tollway.feedAddress" -}}
{{- .Values.dataplane.controlplaneAddress | default (printf "%s-controlplane-feed.%s.svc:8082" (include "tollway.fullname" .) .Release.Namespace) -}}
{{- end -}}

{{- define "tollway.apiScheme" -}}
{{- ternary "https" "http" (not (empty .Values.dataplane.apiTls.existingSecret)) -}}
{{- end -}}

{{- define "tollway.adminScheme" -}}
{{- ternary "https" "http" (not (empty .Values.tls.existingSecret)) -}}
{{- end -}}

{{/* Takes a component's drain values. */}}
{{- define "tollway.graceSeconds" -}}
{{- $drain := . -}}
{{- add $drain.preStopSleepSeconds $drain.delaySeconds $drain.timeoutSeconds $drain.marginSeconds -}}
{{- end -}}
