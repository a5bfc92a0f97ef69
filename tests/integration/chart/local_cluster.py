"""Rendered pods as processes of this machine.

What a cluster gives a pod is given here: secrets and downward fields in its environment, volumes as folders, and
Services as addresses. A listener moves from 0.0.0.0:PORT to a free port on loopback, and every path below a mount
point to the folder that stands for the volume.
"""

import asyncio
import contextlib
import re
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from tests.integration.chart.release import Object, Pod, Release
from tollctl.local.ports import find_free_port
from tollctl.local.process import Child, Command

PROGRAMS = Path(sys.executable).parent
_POLL_INTERVAL_S = 0.05

Secrets = Mapping[str, Mapping[str, str]]


class ClusterError(Exception):
    """A pod did not do what Kubernetes would have waited for; the text ends with the end of its log."""


@dataclass(slots=True)
class RunningPod:
    """A pod's process. `ports` maps container ports to ports of this machine."""

    pod: Pod
    child: Child
    ports: Mapping[int, int]
    log: Path

    async def wait_started(self) -> None:
        """Return when the startup probe succeeds. Raises ClusterError if the kubelet would restart the container."""
        probe = self.pod.container["startupProbe"]
        deadline = time.monotonic() + probe["periodSeconds"] * probe["failureThreshold"]
        while not await self.probe("startupProbe"):
            if self.child.exit_code is not None:
                raise self.failure(f"ended with {self.child.exit_code} before it had started")
            if time.monotonic() > deadline:
                raise self.failure("did not start in time")
            await asyncio.sleep(_POLL_INTERVAL_S)

    async def wait_for(self, name: str, outcome: bool, timeout_s: float) -> None:
        """Return when a probe has that outcome. Raises ClusterError after timeout_s seconds."""
        deadline = time.monotonic() + timeout_s
        while await self.probe(name) is not outcome:
            if time.monotonic() > deadline:
                raise self.failure(f"{name} was not {outcome} within {timeout_s:g} s")
            await asyncio.sleep(_POLL_INTERVAL_S)

    async def probe(self, name: str) -> bool:
        """One probe as the kubelet makes it: certificates unchecked, any status below 400 is a success."""
        probe = self.pod.container[name]
        get = probe["httpGet"]
        url = f"{get['scheme'].lower()}://127.0.0.1:{self.port(get['port'])}{get['path']}"
        timeout = aiohttp.ClientTimeout(total=probe["timeoutSeconds"])
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, ssl=False, allow_redirects=False) as answer,
            ):
                return answer.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False

    def port(self, name: str) -> int:
        """This machine's port behind a named container port."""
        (number,) = (each["containerPort"] for each in self.pod.container["ports"] if each["name"] == name)
        return self.ports[number]

    async def terminate(self) -> int:
        """End it as a cluster does, and return the exit code. Raises ClusterError when the grace period is over."""
        grace_ends = time.monotonic() + self.pod.spec["terminationGracePeriodSeconds"]
        await self._run_pre_stop()
        self.child.send(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.child.wait(), grace_ends - time.monotonic())
        except TimeoutError:
            raise self.failure("outlived its grace period") from None

    def failure(self, problem: str) -> ClusterError:
        tail = self.log.read_text(encoding="utf-8", errors="replace")[-4000:]
        return ClusterError(f"{self.pod.owner} {problem}; its log ends:\n{tail}")

    async def _run_pre_stop(self) -> None:
        action = self.pod.container.get("lifecycle", {}).get("preStop", {})
        if "sleep" in action:
            await asyncio.sleep(action["sleep"]["seconds"])
        if "exec" in action:
            process = await asyncio.create_subprocess_exec(*action["exec"]["command"])
            assert await process.wait() == 0, shlex.join(action["exec"]["command"])


@dataclass(slots=True)
class LocalCluster:
    """Runs the pods of one release below `folder`."""

    release: Release
    secrets: Secrets
    folder: Path
    running: list[RunningPod] = field(default_factory=list)
    _ports: dict[str, dict[int, int]] = field(default_factory=dict)

    def start(self, suffix: str) -> RunningPod:
        """Start the pod whose owner's name ends so."""
        pod = self.release.pod(suffix)
        folder = self.folder / f"{pod.owner.replace('/', '-')}-{len(self.running)}"
        mounts = self._mount(pod, folder)
        argv: list[str] = pod.container["command"] + pod.container.get("args", [])
        log = folder / "log"
        command = Command(
            (str(PROGRAMS / argv[0]), *argv[1:]), self._environment(pod, mounts), folder=mounts["/tmp"], log=log
        )
        started = RunningPod(pod, Child(command), self._ports_of(pod), log)
        self.running.append(started)
        return started

    async def run(self, suffix: str, timeout_s: float) -> str:
        """Run a pod to its end and return its log. Raises ClusterError unless it exits with 0 in time."""
        started = self.start(suffix)
        try:
            code = await asyncio.wait_for(started.child.wait(), timeout_s)
        except TimeoutError:
            raise started.failure(f"did not end within {timeout_s:g} s") from None
        if code != 0:
            raise started.failure(f"ended with {code}")
        return started.log.read_text(encoding="utf-8")

    async def close(self) -> None:
        """Leave no process behind."""
        for each in self.running:
            if each.child.exit_code is None:
                await each.child.stop()

    def _ports_of(self, pod: Pod) -> dict[int, int]:
        if pod.owner not in self._ports:
            declared = [each["containerPort"] for each in pod.container.get("ports", [])]
            self._ports[pod.owner] = {number: find_free_port() for number in declared}
        return self._ports[pod.owner]

    def _mount(self, pod: Pod, folder: Path) -> dict[str, Path]:
        """A folder for each mount point, filled as the volume says."""
        folder.mkdir(parents=True)
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        mounts = {}
        for mount in pod.container["volumeMounts"]:
            place = folder / mount["mountPath"].strip("/").replace("/", "-")
            place.mkdir(mode=0o700)
            self._fill(place, volumes[mount["name"]])
            mounts[mount["mountPath"]] = place
        return mounts

    def _fill(self, place: Path, volume: Object) -> None:
        sources = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
        if "secret" in volume:
            sources.append({"name": volume["secret"]["secretName"], "items": volume["secret"].get("items")})
        for source in sources:
            secret = self.secrets[source["name"]]
            items = source["items"] or [{"key": key, "path": key} for key in secret]
            for item in items:
                (place / item["path"]).write_text(secret[item["key"]], encoding="utf-8")

    def _environment(self, pod: Pod, mounts: Mapping[str, Path]) -> dict[str, str]:
        environment = {
            "PATH": f"{PROGRAMS}:/usr/bin:/bin",
            "HOME": str(mounts["/tmp"]),
            "TMPDIR": str(mounts["/tmp"]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        for source in pod.container.get("envFrom", []):
            environment |= self.secrets[source["secretRef"]["name"]]
        for name, entry in pod.env.items():
            value = self._value(pod, entry)
            environment[name] = self._localize(pod, name, _expand(value, environment), mounts)
        return environment

    def _value(self, pod: Pod, entry: Object) -> str:
        if "valueFrom" not in entry:
            return str(entry["value"])
        source = entry["valueFrom"]
        if "secretKeyRef" in source:
            return self.secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
        assert source == {"fieldRef": {"fieldPath": "metadata.name"}}
        return pod.owner.rpartition("/")[2]

    def _localize(self, pod: Pod, name: str, value: str, mounts: Mapping[str, Path]) -> str:
        if name.endswith("_LISTEN"):
            return f"127.0.0.1:{self._ports_of(pod)[int(value.rpartition(':')[2])]}"
        for point, place in mounts.items():
            if value == point or value.startswith(f"{point}/"):
                return f"{place}{value[len(point) :]}"
        with contextlib.suppress(LookupError):
            if "://" in value:
                parts = urlsplit(value)
                return f"{parts.scheme}://{self._resolve(parts.netloc)}{parts.path}"
            return self._resolve(value)
        return value

    def _resolve(self, address: str) -> str:
        """The local address behind SERVICE[.NAMESPACE.svc]:PORT. Raises LookupError for any other text."""
        host, _, port_text = address.partition(":")
        services = {each["metadata"]["name"]: each for each in self.release.of_kind("Service")}
        service = services[host.partition(".")[0]]
        number = int(port_text)
        (port,) = (each for each in service["spec"]["ports"] if each["port"] == number)
        selector = service["spec"]["selector"].items()
        (pod,) = (each for each in self.release.pods() if selector <= each.labels.items())
        (target,) = (each for each in pod.container["ports"] if each["name"] == port["targetPort"])
        return f"127.0.0.1:{self._ports_of(pod)[target['containerPort']]}"


def _expand(value: str, environment: Mapping[str, str]) -> str:
    """$(NAME) replaced by variables that come before, as the kubelet does."""
    return re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], value)
