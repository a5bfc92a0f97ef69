{{/* What every pod of the chart has in common, hooks included. Takes root. */}}
{{- define "tollway.podDefaults" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "tollway.containerDefaults" -}}
image: {{ include "tollway.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Takes a component's values. */}}
{{- define "tollway.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "tollway.topologySpread" -}}
{{- $own := (index .root.Values .component).topologySpreadConstraints -}}
topologySpreadConstraints:
{{- if $own }}
  {{- toYaml $own | nindent 2 }}
{{- else }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "tollway.selectorLabels" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The pod serves while endpoints forget it. Takes {root, seconds}. */}}
{{- define "tollway.preStop" -}}
{{- if gt (int .seconds) 0 }}
lifecycle:
  preStop:
    {{- if semverCompare ">=1.30.0-0" (include "tollway.kubeVersion" .root) }}
    sleep:
      seconds: {{ .seconds }}
    {{- else }}
    exec:
      command: ["sleep", {{ .seconds | quote }}]
    {{- end }}
{{- end }}
{{- end -}}

{{/* Takes {port, scheme, startup, readiness, liveness (paths), timings}. */}}
{{- define "tollway.probes" -}}
{{- range list "startup" "readiness" "liveness" }}
{{ . }}Probe:
  httpGet:
    path: {{ index $ . }}
    port: {{ $.port }}
    scheme: {{ upper $.scheme }}
  {{- toYaml (index $.timings .) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Takes {root, component, ports (name -> number), probes, preStopSleepSeconds, graceSeconds}. */}}
{{- define "tollway.deployment" -}}
{{- $c := index .root.Values .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "tollway.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "tollway.labels" . | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false $c) }}
  replicas: {{ $c.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: {{ $c.rollout.maxSurge }}
  selector:
    matchLabels:
      {{- include "tollway.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      annotations:
        checksum/secrets: {{ include "tollway.secretsChecksum" . }}
        {{- with $c.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      labels:
        {{- with $c.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "tollway.labels" . | nindent 8 }}
    spec:
      {{- include "tollway.podDefaults" .root | nindent 6 }}
      serviceAccountName: {{ include "tollway.serviceAccountName" . | quote }}
      terminationGracePeriodSeconds: {{ .graceSeconds }}
      {{- with include "tollway.scheduling" $c | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- include "tollway.topologySpread" . | nindent 6 }}
      containers:
        - name: tollway
          {{- include "tollway.containerDefaults" .root | nindent 10 }}
          command: ["tollway-{{ .component }}"]
          env:
            {{- include "tollway.env" . | nindent 12 }}
          {{- with $c.extraEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- range $name, $number := .ports }}
            - name: {{ $name }}
              containerPort: {{ $number }}
              protocol: TCP
            {{- end }}
          {{- include "tollway.probes" .probes | trim | nindent 10 }}
          {{- with include "tollway.preStop" (dict "root" .root "seconds" .preStopSleepSeconds) | trim }}
          {{- . | nindent 10 }}
          {{- end }}
          {{- with $c.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            {{- include "tollway.volumeMounts" . | nindent 12 }}
      volumes:
        {{- include "tollway.volumes" . | nindent 8 }}
{{- end -}}
