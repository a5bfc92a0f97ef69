"""What the chart renders, over every case: valid for the API server, restricted, and consistent in itself."""

import json
import re
from collections.abc import Iterable

import helm_python
import kubernetes_validate
import pytest

from tests.integration.chart.cases import BARE, CASES, DATAPLANE_ONLY, EVERYTHING
from tests.integration.chart.pod_security import house_violations, restricted_violations
from tests.integration.chart.release import (
    CHART,
    NEWEST_KUBERNETES,
    OLDEST_KUBERNETES,
    Object,
    Pod,
    Release,
    merge,
    render,
)

KUBERNETES = (OLDEST_KUBERNETES, NEWEST_KUBERNETES)
WARNING = 2


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Release:
    return render(CASES[request.param])


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", CASES)
def test_case_lints_clean(name: str, version: str) -> None:
    report = helm_python.lint(CHART, dict(CASES[name]), strict=True, kube_version=f"v{version}.0")
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] >= WARNING] == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_for_the_api_server(version: str) -> None:
    distinct: dict[str, Object] = {}
    for values in CASES.values():
        for each in render(merge(values, {"kubeVersion": version})).objects:
            distinct[json.dumps(each, sort_keys=True)] = each
    kinds = set()
    for each in distinct.values():
        kinds.add(each["kind"])
        if each["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(each, version, strict=True)
    assert kinds == {
        *("Deployment", "Job", "Pod", "Service", "ServiceAccount", "PodDisruptionBudget", "HorizontalPodAutoscaler"),
        *("Ingress", "NetworkPolicy", "ServiceMonitor"),
    }


def test_every_pod_is_restricted(case: Release) -> None:
    assert {pod.owner: restricted_violations(pod.spec) for pod in case.pods()} == {pod.owner: [] for pod in case.pods()}


def test_every_pod_keeps_the_house_rules(case: Release) -> None:
    assert {pod.owner: house_violations(pod.spec) for pod in case.pods()} == {pod.owner: [] for pod in case.pods()}


def test_every_selector_selects_one_component(case: Release) -> None:
    for service in case.of_kind("Service"):
        (pod,) = select(case, service["spec"]["selector"])
        names = {port["name"] for port in pod.container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    for budget in case.of_kind("PodDisruptionBudget"):
        assert len(select(case, budget["spec"]["selector"]["matchLabels"])) == 1
    for policy in case.of_kind("NetworkPolicy"):
        (pod,) = select(case, policy["spec"]["podSelector"]["matchLabels"])
        rules = policy["spec"].get("ingress", [])
        named = {port["port"] for rule in rules for port in rule["ports"] if isinstance(port["port"], str)}
        assert named == {port["name"] for port in pod.container.get("ports", [])}
    for deployment in case.of_kind("Deployment"):
        assert len(select(case, deployment["spec"]["selector"]["matchLabels"])) == 1


def test_every_topology_constraint_counts_its_own_pods(case: Release) -> None:
    for deployment in case.of_kind("Deployment"):
        for constraint in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            labels = constraint.get("labelSelector", {}).get("matchLabels", {})
            assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_every_reference_inside_the_release_resolves(case: Release) -> None:
    accounts = {each["metadata"]["name"] for each in case.of_kind("ServiceAccount")} | {"default"}
    for pod in case.pods():
        assert pod.spec.get("serviceAccountName", "default") in accounts
        volumes = [volume["name"] for volume in pod.spec["volumes"]]
        mounts = pod.container["volumeMounts"]
        assert sorted(volumes) == sorted({mount["name"] for mount in mounts})
        assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
        names = [entry["name"] for entry in pod.container.get("env", [])]
        assert len(set(names)) == len(names)
    for autoscaler in case.of_kind("HorizontalPodAutoscaler"):
        target = autoscaler["spec"]["scaleTargetRef"]
        assert case.one(target["kind"], target["name"])
    for ingress in case.of_kind("Ingress"):
        for backend in backends(ingress):
            service = case.one("Service", backend["name"])
            assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_every_file_that_the_environment_names_is_mounted(case: Release) -> None:
    for pod in case.pods():
        mounts = [mount["mountPath"] for mount in pod.container["volumeMounts"]]
        for name, entry in pod.env.items():
            path = entry.get("value", "")
            if path.startswith("/"):
                assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts), name


@pytest.mark.parametrize("name", CASES)
def test_two_renders_are_equal(name: str) -> None:
    assert render(CASES[name]) == render(CASES[name])


def test_no_name_is_too_long() -> None:
    for name in ("a" * 53, "tollway-" + "b" * 45):
        release = render(EVERYTHING, name=name)
        names = [each["metadata"]["name"] for each in release.objects]
        assert max(map(len, names)) <= 63
        assert len({(each["kind"], each["metadata"]["name"]) for each in release.objects}) == len(names)


def test_two_long_release_names_do_not_meet() -> None:
    first, second = (render(EVERYTHING, name="c" * 52 + last) for last in "xy")
    names = [{each["metadata"]["name"] for each in release.objects} for release in (first, second)]
    assert not names[0] & names[1]


def test_everything_is_labelled_alike() -> None:
    for each in render(EVERYTHING).objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "tw"
        assert labels["app.kubernetes.io/part-of"] == "tollway"
        assert labels["example.com/team"] == "platform"


def test_service_monitor_scrapes_every_metrics_service() -> None:
    release = render(EVERYTHING)
    (monitor,) = release.of_kind("ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"].keys() == {"selector", "namespaceSelector", "targetLabels", "endpoints"}
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [each for each in release.of_kind("Service") if wanted <= each["metadata"]["labels"].items()]
    assert {each["metadata"]["name"] for each in found} == {
        f"tw-tollway-{component}-metrics" for component in ("dataplane", "controlplane", "consumer")
    }
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "scheme", "interval", "scrapeTimeout"}
    for service in found:
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert monitor["spec"]["targetLabels"][0] in service["metadata"]["labels"]


def test_optional_objects_are_off_by_default() -> None:
    kinds = {each["kind"] for each in render(BARE).objects}
    assert kinds == {"Deployment", "Job", "Service"}


def test_component_that_is_off_leaves_nothing() -> None:
    objects = render(DATAPLANE_ONLY).objects
    assert {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in objects} == {"dataplane", "test"}


def test_archive_renders_as_the_folder_does(tmp_path: object) -> None:
    archive = helm_python.package(CHART, destination=str(tmp_path))
    with helm_python.Chart.load(archive) as packaged, helm_python.Chart.load(CHART) as folder:
        values = dict(EVERYTHING)
        assert packaged.render(values, name="tw") == folder.render(values, name="tw")


def test_installation_is_accepted_with_its_hooks() -> None:
    with helm_python.Config(namespace="gateway", storage_driver="memory") as cluster:
        summary = cluster.install(CHART, "tw", dict(EVERYTHING), namespace="gateway", dry_run="client")
    assert summary["status"] == "pending-install"
    assert "Call the gateway with it" in summary["notes"]
    assert not re.search(r"^kind: (Job|Pod)$", summary["manifest"], re.MULTILINE)


def select(release: Release, labels: dict[str, str]) -> list[Pod]:
    return [pod for pod in release.pods() if labels.items() <= pod.labels.items()]


def backends(ingress: Object) -> Iterable[Object]:
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            yield path["backend"]["service"]
