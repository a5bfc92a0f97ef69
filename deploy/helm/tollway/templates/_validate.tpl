{{/* What a schema cannot say, all of it at once, each with its remedy. */}}
{{- define "tollway.validate" -}}
{{- $v := .Values -}}
{{- $ns := .Release.Namespace -}}
{{- $planes := or $v.dataplane.enabled $v.controlplane.enabled -}}
{{- $problems := list -}}
{{- if and $planes (empty $v.secrets.existingSecret) -}}
{{- $problems = append $problems (printf "secrets.existingSecret is not set: the planes need an encryption key, a key pepper, a plane token and an admin token, and this chart has no default for a secret. Make them once, and keep the encryption key and the pepper somewhere safe:\n      kubectl -n %s create secret generic tollway-secrets \\\n        --from-literal=%s=\"$(openssl rand -base64 32)\" --from-literal=%s=\"$(openssl rand -base64 32)\" \\\n        --from-literal=%s=\"$(openssl rand -hex 32)\" --from-literal=%s=\"twa_$(openssl rand -hex 32)\"\n    and set secrets.existingSecret=tollway-secrets" $ns $v.secrets.keys.encryptionKey $v.secrets.keys.keyPepper $v.secrets.keys.planeToken ($v.secrets.keys.adminToken | default "admin-token")) -}}
{{- end -}}
{{- if and (or $v.controlplane.enabled $v.consumer.enabled $v.migrations.enabled) (empty $v.postgres.existingSecret) -}}
{{- $problems = append $problems (printf "postgres.existingSecret is not set: Tollway keeps its configuration and its ledger in your Postgres.\n      kubectl -n %s create secret generic tollway-postgres --from-literal=%s='postgresql://USER:PASSWORD@HOST:5432/DATABASE'\n    and set postgres.existingSecret=tollway-postgres (for a CloudNativePG cluster: CLUSTER-app, with postgres.keys.url=uri)" $ns $v.postgres.keys.url) -}}
{{- end -}}
{{- if and (or $v.dataplane.enabled $v.consumer.enabled) (empty $v.nats.existingSecret) -}}
{{- $problems = append $problems (printf "nats.existingSecret is not set: usage events go through your NATS, with JetStream on.\n      kubectl -n %s create secret generic tollway-nats --from-literal=%s='nats://USER:PASSWORD@HOST:4222'\n    and set nats.existingSecret=tollway-nats" $ns $v.nats.keys.dataplaneUrl) -}}
{{- end -}}
{{- if and $planes (empty $v.tls.existingSecret) (not $v.insecure.acceptPlaintext) -}}
{{- $problems = append $problems (printf "neither tls.existingSecret nor insecure.acceptPlaintext is set: admin tokens, plane tokens and upstream secrets cross the network between the planes. Set tls.existingSecret to a kubernetes.io/tls Secret with %s, %s and %s (cert-manager makes such), or say insecure.acceptPlaintext=true if the network encrypts by itself (a service mesh) or this is a trial" $v.tls.keys.cert $v.tls.keys.key $v.tls.keys.ca) -}}
{{- end -}}
{{- if and $v.tls.existingSecret $v.insecure.acceptPlaintext -}}
{{- $problems = append $problems "tls.existingSecret and insecure.acceptPlaintext contradict each other: unset one of them" -}}
{{- end -}}
{{- if and $v.tls.dataplane.existingSecret (empty $v.tls.existingSecret) -}}
{{- $problems = append $problems "tls.dataplane.existingSecret is a client certificate for a feed with TLS: set tls.existingSecret too" -}}
{{- end -}}
{{- if and $v.dataplane.enabled (not $v.controlplane.enabled) (empty $v.dataplane.controlplaneAddress) -}}
{{- $problems = append $problems "controlplane.enabled is false, so the data planes need the address of another control plane's feed: set dataplane.controlplaneAddress=HOST:8082" -}}
{{- end -}}
{{- if and $v.dataplane.autoscaling.enabled (gt (int $v.dataplane.autoscaling.minReplicas) (int $v.dataplane.autoscaling.maxReplicas)) -}}
{{- $problems = append $problems "dataplane.autoscaling.minReplicas is above maxReplicas: lower it" -}}
{{- end -}}
{{- range $component := list "dataplane" "controlplane" -}}
{{- $ingress := (index $v $component).ingress -}}
{{- if and $ingress.enabled (empty $ingress.hosts) -}}
{{- $problems = append $problems (printf "%s.ingress.enabled needs a host: set %s.ingress.hosts={gateway.example.com}" $component $component) -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThis release cannot be installed as it is set:\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}
