"""The checker itself: a pod that keeps the rules passes, and each single breach is found."""

import copy
from collections.abc import Callable

import pytest

from tests.integration.chart.pod_security import house_violations, restricted_violations
from tests.integration.chart.release import Object

Breach = Callable[[Object], object]


def make_spec() -> Object:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "main",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "ports": [{"containerPort": 8080}],
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}],
    }


def set_in_pod(**values: object) -> Breach:
    return lambda spec: spec["securityContext"].update(values)


def set_in_container(**values: object) -> Breach:
    return lambda spec: spec["containers"][0]["securityContext"].update(values)


def forget_in_container(name: str) -> Breach:
    return lambda spec: spec["containers"][0]["securityContext"].pop(name)


def test_pod_that_keeps_the_rules_passes() -> None:
    assert restricted_violations(make_spec()) == []
    assert house_violations(make_spec()) == []


@pytest.mark.parametrize(
    ("expected", "breach"),
    [
        ("hostNetwork", lambda spec: spec.update(hostNetwork=True)),
        ("hostPID", lambda spec: spec.update(hostPID=True)),
        ("hostIPC", lambda spec: spec.update(hostIPC=True)),
        ("volume disk", lambda spec: spec["volumes"].append({"name": "disk", "hostPath": {"path": "/"}})),
        ("sysctl kernel.msgmax", set_in_pod(sysctls=[{"name": "kernel.msgmax", "value": "1"}])),
        ("main: unprivileged", set_in_container(privileged=True)),
        ("main: no_escalation", forget_in_container("allowPrivilegeEscalation")),
        ("main: capabilities", forget_in_container("capabilities")),
        ("main: capabilities", set_in_container(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
        ("main: run_as_non_root", set_in_pod(runAsNonRoot=None)),
        ("main: run_as_non_root", set_in_container(runAsNonRoot=False)),
        ("main: run_as_user", set_in_pod(runAsUser=0)),
        ("main: seccomp", set_in_pod(seccompProfile=None)),
        ("main: seccomp", set_in_container(seccompProfile={"type": "Unconfined"})),
        ("main: selinux", set_in_pod(seLinuxOptions={"type": "spc_t"})),
        ("main: apparmor", set_in_pod(appArmorProfile={"type": "Unconfined"})),
        ("main: no_host_process", set_in_pod(windowsOptions={"hostProcess": True})),
        ("main: proc_mount", set_in_container(procMount="Unmasked")),
        ("main: no_host_ports", lambda spec: spec["containers"][0]["ports"][0].update(hostPort=80)),
    ],
)
def test_breach_of_restricted_is_found(expected: str, breach: Breach) -> None:
    spec = make_spec()
    breach(spec)
    assert restricted_violations(spec) == [expected]


def test_init_container_is_checked_too() -> None:
    spec = make_spec()
    spec["initContainers"] = [copy.deepcopy(spec["containers"][0]) | {"name": "init", "securityContext": {}}]
    assert restricted_violations(spec) == ["init: no_escalation", "init: capabilities"]


@pytest.mark.parametrize(
    ("expected", "breach"),
    [
        ("automountServiceAccountToken is not false", lambda spec: spec.pop("automountServiceAccountToken")),
        ("enableServiceLinks is not false", lambda spec: spec.update(enableServiceLinks=True)),
        ("emptyDir tmp has no limit", lambda spec: spec["volumes"][0].update(emptyDir={})),
        ("main: root file system can be written", forget_in_container("readOnlyRootFilesystem")),
        ("main: /tmp is not mounted", lambda spec: spec["containers"][0].pop("volumeMounts")),
    ],
)
def test_breach_of_a_house_rule_is_found(expected: str, breach: Breach) -> None:
    spec = make_spec()
    breach(spec)
    assert house_violations(spec) == [expected]
