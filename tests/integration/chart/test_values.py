"""Values: what is refused, with which words, and that every value is described."""

import re
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest

from tests.integration.chart.cases import DATAPLANE_ONLY, EVERYTHING, MINIMAL, MUTUAL_TLS, TLS
from tests.integration.chart.release import CHART, Values, merge, render

COMPONENTS = ("dataplane", "controlplane", "consumer", "migrations")
# Maps that belong to the user: what is inside is Kubernetes' to describe.
OPAQUE = {"podSecurityContext", "securityContext", "resources", "behavior", "startup", "readiness", "liveness"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"secrets": {"existingSecret": ""}},
            ["secrets.existingSecret is not set", "kubectl -n gateway create secret"],
        ),
        ({"postgres": {"existingSecret": ""}}, ["postgres.existingSecret is not set", "set postgres.existingSecret="]),
        ({"nats": {"existingSecret": ""}}, ["nats.existingSecret is not set", "--from-literal=url='nats://"]),
        ({"insecure": {"acceptPlaintext": False}}, ["neither tls.existingSecret nor insecure.acceptPlaintext", "mesh"]),
        ({"tls": {"existingSecret": "t"}}, ["contradict each other: unset one of them"]),
        ({"tls": {"dataplane": {"existingSecret": "t"}}}, ["set tls.existingSecret too"]),
        ({"controlplane": {"enabled": False}}, ["set dataplane.controlplaneAddress=HOST:8082"]),
        ({"dataplane": {"autoscaling": {"enabled": True, "minReplicas": 30}}}, ["minReplicas is above maxReplicas"]),
        ({"dataplane": {"ingress": {"enabled": True}}}, ["set dataplane.ingress.hosts={"]),
        ({"controlplane": {"ingress": {"enabled": True}}}, ["set controlplane.ingress.hosts={"]),
    ],
)
def test_what_is_missing_is_told_with_its_remedy(values: Values, expected: list[str]) -> None:
    with pytest.raises(helm_python.HelmRenderError) as refusal:
        render(merge(MINIMAL, values))
    for words in expected:
        assert words in str(refusal.value)


def test_everything_missing_is_told_at_once() -> None:
    with pytest.raises(helm_python.HelmRenderError) as refusal:
        render({})
    for name in ("secrets.existingSecret", "postgres.existingSecret", "nats.existingSecret", "tls.existingSecret"):
        assert f"{name} " in str(refusal.value)


def test_data_planes_alone_need_no_postgres() -> None:
    assert render(DATAPLANE_ONLY).pod("-dataplane")


@pytest.mark.parametrize(
    ("component", "name"),
    [(each, "TOLLWAY_LOG_LEVEL") for each in COMPONENTS[:3]] + [("migrations", "TOLLWAY_DATABASE_URL")],
)
def test_environment_that_the_chart_sets_is_not_set_twice(component: str, name: str) -> None:
    extra = {"extraEnv": [{"name": name, "value": "debug"}]}
    with pytest.raises(helm_python.HelmRenderError, match=f"{component}.extraEnv sets {name}"):
        render(merge(MINIMAL, {component: extra}))


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"dataplan": {}}, "'dataplan' not allowed"),
        ({"dataplane": {"replica": 3}}, "'replica' not allowed"),
        ({"dataplane": {"replicas": "three"}}, "/dataplane/replicas"),
        ({"dataplane": {"workers": 0}}, "/dataplane/workers"),
        ({"dataplane": {"service": {"port": 80000}}}, "/dataplane/service/port"),
        ({"dataplane": {"service": {"type": "ExternalName"}}}, "/dataplane/service/type"),
        ({"dataplane": {"controlplaneAddress": "https://feed"}}, "/dataplane/controlplaneAddress"),
        ({"dataplane": {"drain": {"marginSeconds": 1}}}, "/dataplane/drain/marginSeconds"),
        ({"dataplane": {"extraEnv": [{"value": "x"}]}}, "/dataplane/extraEnv/0"),
        (
            {"dataplane": {"podLabels": {"app.kubernetes.io/name": "x"}}},
            "invalid propertyName 'app.kubernetes.io/name'",
        ),
        ({"dataplane": {"rollout": {"maxSurge": 0}}}, "/dataplane/rollout/maxSurge"),
        ({"controlplane": {"workers": 2}}, "'workers' not allowed"),
        ({"consumer": {"stream": {"replicas": 2}}}, "/consumer/stream/replicas"),
        ({"migrations": {"hook": "flux"}}, "/migrations/hook"),
        ({"logLevel": "loud"}, "/logLevel"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        ({"secrets": {"encryptionKey": "hunter2"}}, "'encryptionKey' not allowed"),
        ({"secrets": {"keys": {"planeToken": ""}}}, "/secrets/keys/planeToken"),
        ({"secrets": {"existingSecret": "Not A Name"}}, "/secrets/existingSecret"),
        ({"insecure": {"acceptPlaintext": "yes"}}, "/insecure/acceptPlaintext"),
        ({"otel": {"endpoint": "collector:4318"}}, "/otel/endpoint"),
        ({"otel": {"sampleRatio": 5}}, "/otel/sampleRatio"),
        ({"networkPolicy": {"upstreams": {"ports": []}}}, "/networkPolicy/upstreams/ports"),
    ],
)
def test_wrong_value_is_refused_by_its_path(values: Values, path: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as refusal:
        render(merge(MINIMAL, values))
    assert path in str(refusal.value)


def test_no_secret_has_a_default() -> None:
    values = read_defaults()
    assert values["secrets"]["existingSecret"] == ""
    assert values["insecure"] == {"acceptPlaintext": False}
    for values_case in (MINIMAL, TLS, EVERYTHING):
        for pod in render(values_case).pods():
            for name, entry in pod.env.items():
                if re.search(r"TOKEN|PEPPER|ENCRYPTION|_URL$|HEADERS", name) and name.startswith(("TOLLWAY", "OTEL")):
                    assert entry.keys() == {"name", "valueFrom"}, name


def test_every_value_is_described() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([A-Za-z.]+)`", readme))
    undescribed = [
        path
        for path in leaf_paths(read_defaults())
        if path not in documented and path.partition(".")[2] not in documented
    ]
    assert undescribed == []


def test_every_described_value_exists() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| (`[a-zA-Z][^|]*) \|", readme[readme.index("## Values") :], re.MULTILINE)
    paths = {path for cell in tables for path in re.findall(r"`([A-Za-z.]+)`", cell)}
    known = set(leaf_paths(read_defaults()))
    per_component = {path.partition(".")[2] for path in known if path.startswith(COMPONENTS)}
    assert paths - known - per_component == set()


def test_schema_knows_no_value_that_the_chart_lacks() -> None:
    with helm_python.Chart.load(CHART) as chart:
        schema = chart.schema
    assert schema is not None
    paths = set(schema_paths(schema, schema["$defs"]))
    assert {path for path in paths if not path.endswith("initialDelaySeconds")} <= set(all_paths(read_defaults()))


@pytest.mark.parametrize(
    ("values", "warned", "secured"), [(MINIMAL, True, False), (TLS, False, True), (MUTUAL_TLS, False, True)]
)
def test_notes_hold_the_first_curl(values: Values, warned: bool, secured: bool) -> None:
    notes = render(values, name="gw", namespace="ai").notes
    assert ("WARNING: insecure.acceptPlaintext is true" in notes) is warned
    assert ("gw-tollway-controlplane-feed.ai.svc" in notes) is secured
    assert ("https://localhost:8081/v1/teams" in notes) is secured
    assert "kubectl -n ai port-forward svc/gw-tollway-dataplane 8080:8080" in notes
    assert re.search(r"curl .*localhost:8080/v1/models -H \"Authorization: Bearer \$TOLLWAY_KEY\"", notes)
    assert "helm test gw -n ai" in notes


def read_defaults() -> dict[str, Any]:
    with helm_python.Chart.load(CHART) as chart:
        return chart.values


def leaf_paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted paths of the values that a user sets: leaves, and maps that are the user's."""
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in OPAQUE:
            yield from leaf_paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def all_paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from all_paths(value, f"{prefix}{name}.")


def schema_paths(schema: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted paths of the properties, but for those of free-form maps."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for name, below in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        if name not in {"resources"}:
            yield from schema_paths(below, definitions, f"{prefix}{name}.")
