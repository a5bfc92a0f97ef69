"""What each component is given: its environment, secrets, probes, and time to end."""

import pytest

from tests.integration.chart.cases import BARE, CASES, EVERYTHING, IPV6, MINIMAL, MUTUAL_TLS, TLS
from tests.integration.chart.release import Object, Pod, Values, merge, render

SECRETS_OF = {
    "-dataplane": {"TOLLWAY_PLANE_TOKEN": "plane-token", "TOLLWAY_NATS_URL": "url"},
    "-controlplane": {
        "TOLLWAY_DATABASE_URL": "url",
        "TOLLWAY_PLANE_TOKEN": "plane-token",
        "TOLLWAY_ENCRYPTION_KEY": "encryption-key",
        "TOLLWAY_KEY_PEPPER": "key-pepper",
        "TOLLWAY_ADMIN_TOKEN": "admin-token",
    },
    "-consumer": {"TOLLWAY_DATABASE_URL": "url", "TOLLWAY_NATS_URL": "url"},
    "-migrate": {"TOLLWAY_DATABASE_URL": "url"},
    "-test": {},
}


@pytest.mark.parametrize("owner", SECRETS_OF)
def test_pod_is_given_its_own_secrets_only(owner: str) -> None:
    pod = render(MUTUAL_TLS).pod(owner)
    given = {name: entry["valueFrom"]["secretKeyRef"] for name, entry in pod.env.items() if "valueFrom" in entry}
    assert {name: ref["key"] for name, ref in given.items()} == SECRETS_OF[owner]
    assert "envFrom" not in pod.container


def test_names_and_keys_of_secrets_can_be_chosen() -> None:
    values = merge(
        MINIMAL,
        {
            "secrets": {"existingSecret": "n", "keys": {"planeToken": "on", "adminToken": ""}},
            "postgres": {"existingSecret": "db-app", "keys": {"url": "uri"}},
            "nats": {"keys": {"dataplaneUrl": "publisher", "consumerUrl": "reader"}},
        },
    )
    release = render(values)
    dataplane, controlplane = release.pod("-dataplane"), release.pod("-controlplane")
    assert secret_of(dataplane, "TOLLWAY_PLANE_TOKEN") == {"name": "n", "key": "on"}
    assert secret_of(dataplane, "TOLLWAY_NATS_URL") == {"name": "tollway-nats", "key": "publisher"}
    assert secret_of(release.pod("-consumer"), "TOLLWAY_NATS_URL") == {"name": "tollway-nats", "key": "reader"}
    assert secret_of(controlplane, "TOLLWAY_DATABASE_URL") == {"name": "db-app", "key": "uri"}
    assert "TOLLWAY_ADMIN_TOKEN" not in controlplane.env


def test_plaintext_is_accepted_only_where_it_was_said() -> None:
    for values, accepted in ((MINIMAL, True), (TLS, False), (MUTUAL_TLS, False)):
        release = render(values)
        assert ("TOLLWAY_INSECURE_ADMIN" in release.pod("-controlplane").env) is accepted
        assert ("TOLLWAY_INSECURE_PLANE" in release.pod("-dataplane").env) is accepted
        assert ("TOLLWAY_TLS_CERT" in release.pod("-controlplane").env) is not accepted
        assert ("TOLLWAY_TLS_CA" in release.pod("-dataplane").env) is not accepted


def test_data_plane_never_holds_the_control_planes_key() -> None:
    for values, files in ((TLS, {"ca.crt"}), (MUTUAL_TLS, {"ca.crt", "tls.crt", "tls.key"})):
        pod = render(values).pod("-dataplane")
        sources = [source["secret"] for source in volume_of(pod, "tls")["projected"]["sources"]]
        assert {item["path"] for source in sources for item in source["items"]} == files
        assert [item["key"] for source in sources if source["name"] == "feed-tls" for item in source["items"]] == [
            "ca.crt"
        ]


def test_client_certificates_are_asked_for_only_if_data_planes_have_them() -> None:
    assert "TOLLWAY_TLS_CA" not in render(TLS).pod("-controlplane").env
    assert "TOLLWAY_TLS_CA" in render(MUTUAL_TLS).pod("-controlplane").env


def test_probes_follow_the_listener() -> None:
    for values, scheme in ((MINIMAL, "HTTP"), (TLS, "HTTP"), (MUTUAL_TLS, "HTTPS")):
        release = render(values)
        assert probes_of(release.pod("-dataplane")) == {
            "startupProbe": ("api", scheme, "/readyz"),
            "readinessProbe": ("api", scheme, "/readyz"),
            "livenessProbe": ("api", scheme, "/livez"),
        }
        for component in ("-controlplane", "-consumer"):
            assert probes_of(release.pod(component)) == {
                "startupProbe": ("metrics", "HTTP", "/livez"),
                "readinessProbe": ("metrics", "HTTP", "/readyz"),
                "livenessProbe": ("metrics", "HTTP", "/livez"),
            }


@pytest.mark.parametrize("component", ["dataplane", "controlplane"])
@pytest.mark.parametrize("drain", [{}, {"preStopSleepSeconds": 0, "delaySeconds": 7, "timeoutSeconds": 900}])
def test_grace_period_covers_the_whole_drain(component: str, drain: Values) -> None:
    pod = render(merge(MINIMAL, {component: {"drain": drain}})).pod(f"-{component}")
    delay_s, timeout_s = (int(pod.env[f"TOLLWAY_DRAIN_{name}_S"]["value"]) for name in ("DELAY", "TIMEOUT"))
    sleep_s = pod.container.get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})["preStop"]["sleep"]["seconds"]
    assert pod.spec["terminationGracePeriodSeconds"] == sleep_s + delay_s + timeout_s + 20
    assert (sleep_s == 0) is ("lifecycle" not in pod.container)


def test_grace_period_is_as_documented() -> None:
    assert render(MINIMAL).pod("-dataplane").spec["terminationGracePeriodSeconds"] == 330


@pytest.mark.parametrize(
    ("version", "action"),
    [
        ("1.27", {"exec": {"command": ["sleep", "5"]}}),
        ("v1.29.9-gke.100", {"exec": {"command": ["sleep", "5"]}}),
        ("v1.30.0-eks-1", {"sleep": {"seconds": 5}}),
        ("", {"sleep": {"seconds": 5}}),
    ],
)
def test_sleep_before_stop_suits_the_cluster(version: str, action: Object) -> None:
    release = render(merge(MINIMAL, {"kubeVersion": version}))
    for component in ("-dataplane", "-controlplane"):
        assert release.pod(component).container["lifecycle"] == {"preStop": action}


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_no_pod_is_taken_before_its_successor_is_ready(values: Values) -> None:
    release = render(values)
    for deployment in release.of_kind("Deployment"):
        rollout = deployment["spec"]["strategy"]["rollingUpdate"]
        assert rollout["maxUnavailable"] == 0
        assert rollout["maxSurge"] >= 1
    for budget in release.of_kind("PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] >= 1


def test_autoscaler_and_deployment_do_not_both_set_replicas() -> None:
    assert "replicas" not in render(EVERYTHING).one("Deployment", "-dataplane")["spec"]
    assert render(MINIMAL).one("Deployment", "-dataplane")["spec"]["replicas"] == 2


def test_migration_runs_before_everything_and_needs_nothing_of_the_release() -> None:
    release = render(EVERYTHING)
    job, pod = release.one("Job", "-migrate"), release.pod("-migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["backoffLimit"] == 4
    assert job["spec"]["activeDeadlineSeconds"] == 1800
    assert pod.spec["restartPolicy"] == "Never"
    own = {each["metadata"]["name"] for each in release.objects if each is not job}
    assert pod.spec.get("serviceAccountName", "default") not in own
    assert not own & set(secrets_and_configs(pod))


@pytest.mark.parametrize(
    ("hook", "name", "annotations"),
    [
        ("helm", "tw-tollway-migrate", {"helm.sh/hook", "helm.sh/hook-weight", "helm.sh/hook-delete-policy"}),
        ("argocd", "tw-tollway-migrate", {"argocd.argoproj.io/hook", "argocd.argoproj.io/hook-delete-policy"}),
        ("none", "tw-tollway-migrate-1", set()),
    ],
)
def test_migration_hook_can_be_chosen(hook: str, name: str, annotations: set[str]) -> None:
    (job,) = render(merge(MINIMAL, {"migrations": {"hook": hook}})).of_kind("Job")
    assert job["metadata"]["name"] == name
    assert job["metadata"].get("annotations", {}).keys() == annotations


def test_tracing_is_off_unless_an_endpoint_is_set() -> None:
    assert not [name for pod in render(MINIMAL).pods() for name in pod.env if name.startswith("OTEL_")]
    release = render(EVERYTHING)
    for component in ("dataplane", "controlplane", "consumer"):
        env = release.pod(f"-{component}").env
        assert env["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"] == "http://collector.observability.svc:4318"
        assert env["OTEL_EXPORTER_OTLP_PROTOCOL"]["value"] == "http/protobuf"
        assert env["OTEL_SERVICE_NAME"]["value"] == f"tollway-{component}"
        assert env["OTEL_TRACES_SAMPLER_ARG"]["value"] == "0.05"
        attributes = env["OTEL_RESOURCE_ATTRIBUTES"]["value"].split(",")
        assert {"k8s.namespace.name=gateway", "deployment.environment.name=prod"} <= set(attributes)
        names = list(env)
        assert names.index("POD_NAME") < names.index("OTEL_RESOURCE_ATTRIBUTES")


def test_data_planes_follow_the_feed_of_their_release() -> None:
    release = render(MINIMAL)
    host, port = release.pod("-dataplane").env["TOLLWAY_CONTROLPLANE_ADDRESS"]["value"].split(":")
    service_name, namespace, suffix = host.split(".")
    service = release.one("Service", service_name)
    assert (namespace, suffix) == ("gateway", "svc")
    assert service["spec"]["clusterIP"] == "None"
    assert [each["port"] for each in service["spec"]["ports"]] == [int(port)]
    (target,) = (each for each in release.pod("-controlplane").container["ports"] if each["name"] == "grpc")
    assert target["containerPort"] == int(port)


def test_listeners_are_on_the_ports_that_are_declared() -> None:
    for values, host in ((MINIMAL, "0.0.0.0"), (IPV6, "[::]")):
        for pod in render(values).pods():
            ports = {each["containerPort"] for each in pod.container.get("ports", [])}
            listens = {entry["value"] for name, entry in pod.env.items() if name.endswith("_LISTEN")}
            assert listens == {f"{host}:{port}" for port in ports}


def test_image_can_be_pinned_and_moved() -> None:
    assert {pod.container["image"] for pod in render(MINIMAL).pods()} == {"tollway:0.1.0"}
    digest = "sha256:" + "0123456789abcdef" * 4
    assert {pod.container["image"] for pod in render(EVERYTHING).pods()} == {f"registry.example.com/tollway@{digest}"}
    moved = merge(MINIMAL, {"global": {"imageRegistry": "r.example.com/"}, "image": {"tag": "edge"}})
    assert {pod.container["image"] for pod in render(moved).pods()} == {"r.example.com/tollway:edge"}


def test_large_numbers_are_written_out() -> None:
    env = render(MINIMAL).pod("-consumer").env
    assert env["TOLLWAY_USAGE_STREAM_MAX_BYTES"]["value"] == "10737418240"
    assert env["TOLLWAY_USAGE_TAP_MAX_BYTES"]["value"] == "10737418240"


def test_pods_restart_when_another_secret_is_named() -> None:
    before, after = (
        render(values).pod("-consumer").annotations["checksum/secrets"]
        for values in (BARE, merge(BARE, {"nats": {"existingSecret": "other"}}))
    )
    assert before != after


def test_network_policy_lets_each_component_out_to_what_it_needs_only() -> None:
    release = render(EVERYTHING)
    reached = {
        policy["metadata"]["name"].removeprefix("tw-tollway-"): {
            port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]
        }
        - {53, 3128}
        for policy in release.of_kind("NetworkPolicy")
    }
    assert reached == {
        "dataplane": {4222, 8082, 443, 8443, 4318},
        "controlplane": {5432, 443, 4318},
        "consumer": {5432, 4222, 4318},
        "migrations": {5432},
        "test": {8080, 8081},
    }


@pytest.mark.parametrize("component", ["-dataplane", "-controlplane"])
def test_network_policy_keeps_what_reaches_out_from_cloud_metadata(component: str) -> None:
    policy = render(EVERYTHING).one("NetworkPolicy", component)
    blocks = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule.get("to", []) if "ipBlock" in peer]
    assert blocks
    assert all(block["except"] for block in blocks)
    assert "169.254.0.0/16" in blocks[0]["except"]


def test_network_policy_admits_and_reaches_the_peers_that_are_named() -> None:
    peer = EVERYTHING["networkPolicy"]["apiFrom"][0]
    for policy in render(EVERYTHING).of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            assert peer in rule["from"], policy["metadata"]["name"]
        for rule in policy["spec"]["egress"]:
            if {port["port"] for port in rule["ports"]} & {5432, 4222, 4318}:
                assert rule["to"] == [peer], policy["metadata"]["name"]


def test_network_policy_lets_data_planes_into_the_feed() -> None:
    for values in (EVERYTHING, merge(MINIMAL, {"networkPolicy": {"enabled": True}})):
        release = render(values)
        policy = release.one("NetworkPolicy", "-controlplane")
        (rule,) = (each for each in policy["spec"]["ingress"] if each["ports"][0]["port"] == "grpc")
        selectors = [peer["podSelector"]["matchLabels"] for peer in rule["from"] if "podSelector" in peer]
        dataplane = release.pod("-dataplane")
        assert [labels.items() <= dataplane.labels.items() for labels in selectors] == [True]


def secret_of(pod: Pod, name: str) -> Object:
    reference = pod.env[name]["valueFrom"]["secretKeyRef"]
    assert isinstance(reference, dict)
    return reference


def volume_of(pod: Pod, name: str) -> Object:
    (volume,) = (each for each in pod.spec["volumes"] if each["name"] == name)
    assert isinstance(volume, dict)
    return volume


def probes_of(pod: Pod) -> dict[str, tuple[str, str, str]]:
    """Port, scheme and path of each probe."""
    gets = {name: probe["httpGet"] for name, probe in pod.container.items() if name.endswith("Probe")}
    return {name: (get["port"], get["scheme"], get["path"]) for name, get in gets.items()}


def secrets_and_configs(pod: Pod) -> list[str]:
    """Names of the Secrets and ConfigMaps that a pod cannot start without."""
    found = [entry["valueFrom"]["secretKeyRef"]["name"] for entry in pod.env.values() if "valueFrom" in entry]
    for source in pod.container.get("envFrom", []):
        found.extend(reference["name"] for reference in source.values())
    for volume in pod.spec["volumes"]:
        found.extend(volume[kind].get("secretName", volume[kind].get("name")) for kind in volume if kind != "name")
    return found
