"""The sets of values that every rule of the chart is checked on."""

from typing import Any

from tests.integration.chart.release import Values, merge

_SERVICES: Values = {
    "secrets": {"existingSecret": "tollway-secrets"},
    "postgres": {"existingSecret": "tollway-postgres"},
    "nats": {"existingSecret": "tollway-nats"},
}
MINIMAL: Values = merge(_SERVICES, {"insecure": {"acceptPlaintext": True}})
TLS: Values = merge(_SERVICES, {"tls": {"existingSecret": "feed-tls"}})
MUTUAL_TLS: Values = merge(
    TLS,
    {
        "tls": {"dataplane": {"existingSecret": "client-tls"}},
        "dataplane": {"apiTls": {"existingSecret": "api-tls"}},
    },
)
_SCHEDULING: dict[str, Any] = {
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "important",
    "podAnnotations": {"example.com/owner": "platform"},
    "podLabels": {"example.com/tier": "gateway"},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraEnvFrom": [{"secretRef": {"name": "upstream-keys"}}],
    "extraVolumes": [{"name": "upstreams", "secret": {"secretName": "upstream-files"}}],
    "extraVolumeMounts": [{"name": "upstreams", "mountPath": "/etc/upstreams", "readOnly": True}],
}
_COMPONENT: dict[str, Any] = merge(
    _SCHEDULING,
    {
        "replicas": 3,
        "serviceAccount": {"annotations": {"example.com/role": "gateway"}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
        ],
    },
)
_INGRESS: dict[str, Any] = {
    "enabled": True,
    "className": "nginx",
    "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "600"},
    "hosts": ["gateway.example.com"],
    "tls": [{"secretName": "gateway-tls", "hosts": ["gateway.example.com"]}],
}
_PEERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}}}]
EVERYTHING: Values = merge(
    MUTUAL_TLS,
    {
        "commonLabels": {"example.com/team": "platform"},
        "global": {"imageRegistry": "registry.example.com", "imagePullSecrets": ["pull"]},
        "image": {"digest": "sha256:" + "0123456789abcdef" * 4},
        "otel": {
            "endpoint": "http://collector.observability.svc:4318",
            "resourceAttributes": {"deployment.environment.name": "prod"},
            "headers": {"existingSecret": "otel-headers"},
        },
        "dataplane": merge(
            _COMPONENT,
            {
                "workers": 4,
                "ingress": _INGRESS,
                "autoscaling": {"enabled": True},
                "service": {"type": "LoadBalancer", "port": 443, "loadBalancerSourceRanges": ["10.0.0.0/8"]},
            },
        ),
        "controlplane": merge(_COMPONENT, {"ingress": _INGRESS}),
        "consumer": merge(_COMPONENT, {"stream": {"replicas": 3}}),
        "migrations": _SCHEDULING,
        "networkPolicy": {
            "enabled": True,
            **dict.fromkeys(("apiFrom", "adminFrom", "grpcFrom", "metricsFrom"), _PEERS),
            **{each: {"to": _PEERS} for each in ("postgres", "nats", "otel")},
            "upstreams": {"ports": [443, 8443]},
            "extraEgress": [{"ports": [{"port": 3128, "protocol": "TCP"}]}],
        },
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    },
)
DATAPLANE_ONLY: Values = merge(
    TLS,
    {
        "controlplane": {"enabled": False},
        "consumer": {"enabled": False},
        "migrations": {"enabled": False},
        "postgres": {"existingSecret": ""},
        "dataplane": {"controlplaneAddress": "feed-a.example.com:8082,feed-b.example.com:9082"},
        "networkPolicy": {"enabled": True},
    },
)
CONTROLPLANE_ONLY: Values = merge(TLS, {"dataplane": {"enabled": False}, "networkPolicy": {"enabled": True}})
OPENSHIFT: Values = merge(MINIMAL, {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}})
BARE: Values = merge(
    MINIMAL,
    {
        "tests": {"enabled": False},
        "secrets": {"keys": {"adminToken": ""}},
        "migrations": {"hook": "none"},
        **{
            each: {
                "podDisruptionBudget": {"enabled": False},
                "serviceAccount": {"create": False},
                "resources": {"limits": None, "requests": None},
            }
            for each in ("dataplane", "controlplane", "consumer")
        },
    },
)
IPV6: Values = merge(MINIMAL, {"listenHost": "[::]", "migrations": {"hook": "argocd"}})

CASES: dict[str, Values] = {
    "minimal": MINIMAL,
    "tls": TLS,
    "mutual_tls": MUTUAL_TLS,
    "everything": EVERYTHING,
    "dataplane_only": DATAPLANE_ONLY,
    "controlplane_only": CONTROLPLANE_ONLY,
    "network_policy": merge(MINIMAL, {"networkPolicy": {"enabled": True}}),
    "openshift": OPENSHIFT,
    "bare": BARE,
    "ipv6": IPV6,
}
