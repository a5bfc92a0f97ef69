"""The Pod Security level "restricted", and what this project asks of its pods beyond it."""

from collections.abc import Callable, Iterator

from tests.integration.chart.release import Object

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
}


def restricted_violations(spec: Object) -> list[str]:
    """What of a pod's spec the level "restricted" forbids; empty when nothing."""
    found = [*_pod_violations(spec)]
    for container in _containers(spec):
        found.extend(f"{container['name']}: {rule.__name__.strip('_')}" for rule in _RULES if not rule(container, spec))
    return found


def house_violations(spec: Object) -> list[str]:
    """What this project asks beyond: no token, no service links, a read-only root and a bounded /tmp."""
    found = [
        f"{name} is not false"
        for name in ("automountServiceAccountToken", "enableServiceLinks")
        if spec.get(name) is not False
    ]
    found.extend(
        f"emptyDir {volume['name']} has no limit"
        for volume in spec.get("volumes", [])
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]
    )
    for container in _containers(spec):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            found.append(f"{container['name']}: root file system can be written")
        if "/tmp" not in {mount["mountPath"] for mount in container.get("volumeMounts", [])}:
            found.append(f"{container['name']}: /tmp is not mounted")
    return found


def _containers(spec: Object) -> Iterator[Object]:
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group, [])


def _pod_violations(spec: Object) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes", []):
        if (volume.keys() - {"name"}) - _VOLUMES:
            yield f"volume {volume['name']}"
    for sysctl in spec.get("securityContext", {}).get("sysctls", []):
        if sysctl["name"] not in _SYSCTLS:
            yield f"sysctl {sysctl['name']}"


def _effective(container: Object, spec: Object, name: str) -> object:
    own = container.get("securityContext", {})
    return own[name] if name in own else spec.get("securityContext", {}).get(name)


def _unprivileged(container: Object, _: Object) -> bool:
    return not container.get("securityContext", {}).get("privileged")


def _no_escalation(container: Object, _: Object) -> bool:
    return container.get("securityContext", {}).get("allowPrivilegeEscalation") is False


def _capabilities(container: Object, _: Object) -> bool:
    capabilities = container.get("securityContext", {}).get("capabilities", {})
    return "ALL" in capabilities.get("drop", []) and set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}


def _run_as_non_root(container: Object, spec: Object) -> bool:
    return _effective(container, spec, "runAsNonRoot") is True


def _run_as_user(container: Object, spec: Object) -> bool:
    users = (container.get("securityContext", {}).get("runAsUser"), spec.get("securityContext", {}).get("runAsUser"))
    return 0 not in users


def _seccomp(container: Object, spec: Object) -> bool:
    profile = _effective(container, spec, "seccompProfile")
    return isinstance(profile, dict) and profile.get("type") in {"RuntimeDefault", "Localhost"}


def _selinux(container: Object, spec: Object) -> bool:
    options = _effective(container, spec, "seLinuxOptions") or {}
    assert isinstance(options, dict)
    return options.get("type", "") in _SELINUX_TYPES and not options.get("user") and not options.get("role")


def _apparmor(container: Object, spec: Object) -> bool:
    profile = _effective(container, spec, "appArmorProfile")
    return profile is None or (isinstance(profile, dict) and profile.get("type") != "Unconfined")


def _no_host_process(container: Object, spec: Object) -> bool:
    options = _effective(container, spec, "windowsOptions")
    return not (isinstance(options, dict) and options.get("hostProcess"))


def _proc_mount(container: Object, _: Object) -> bool:
    return container.get("securityContext", {}).get("procMount") in (None, "Default")


def _no_host_ports(container: Object, _: Object) -> bool:
    return not any(port.get("hostPort") for port in container.get("ports", []))


_RULES: tuple[Callable[[Object, Object], bool], ...] = (
    _unprivileged,
    _no_escalation,
    _capabilities,
    _run_as_non_root,
    _run_as_user,
    _seccomp,
    _selinux,
    _apparmor,
    _no_host_process,
    _proc_mount,
    _no_host_ports,
)
