"""The rendered pods as real processes on a real Postgres and NATS: they start, answer their probes, and end in time."""

import argparse
import asyncio
import base64
import re
import secrets
import shlex
import ssl
import string
import sys
import time
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.chart.authority import Authority
from tests.integration.chart.cases import EVERYTHING, MINIMAL, MUTUAL_TLS, TLS
from tests.integration.chart.local_cluster import PROGRAMS, LocalCluster, RunningPod, Secrets
from tests.integration.chart.release import Values, merge, render

COMPONENTS = ("-controlplane", "-consumer", "-dataplane")
QUICK: Values = {
    "dataplane": {"drain": {"preStopSleepSeconds": 1, "delaySeconds": 2, "timeoutSeconds": 20}},
    "controlplane": {"drain": {"preStopSleepSeconds": 1, "delaySeconds": 1}},
}
RELEASES: dict[str, Values] = {
    "plaintext": merge(MINIMAL, QUICK),
    "tls": merge(TLS, QUICK, {"kubeVersion": "1.27"}),
    "mutual_tls_and_workers": merge(MUTUAL_TLS, QUICK, {"dataplane": {"workers": 2}}),
}


@pytest.fixture
def cluster_secrets(database_url: str, nats_url: str) -> Secrets:
    """Made as the chart's own instructions make them."""
    authority = Authority.create()
    return {
        "tollway-secrets": {
            "encryption-key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "key-pepper": base64.b64encode(secrets.token_bytes(32)).decode(),
            "plane-token": secrets.token_hex(32),
            "admin-token": f"twa_{secrets.token_hex(32)}",
        },
        "tollway-postgres": {"url": database_url},
        "tollway-nats": {"url": nats_url},
        "feed-tls": authority.issue("tw-tollway-controlplane-feed.gateway.svc"),
        "client-tls": authority.issue(),
        "api-tls": authority.issue("gateway.example.com"),
    }


@pytest_asyncio.fixture(params=RELEASES)
async def cluster(
    request: pytest.FixtureRequest, cluster_secrets: Secrets, tmp_path: Path
) -> AsyncIterator[LocalCluster]:
    local = LocalCluster(render(RELEASES[request.param]), cluster_secrets, tmp_path)
    yield local
    await local.close()


async def test_release_runs_as_rendered(cluster: LocalCluster) -> None:
    await cluster.run("-migrate", timeout_s=60)
    await cluster.run("-migrate", timeout_s=60)
    pods = {suffix: cluster.start(suffix) for suffix in COMPONENTS}
    await asyncio.gather(*(pod.wait_started() for pod in pods.values()))
    for pod in pods.values():
        await pod.wait_for("readinessProbe", True, timeout_s=20)
        assert await pod.probe("livenessProbe")
        assert "# TYPE" in await read_metrics(pod)
    assert (await cluster.run("-test", timeout_s=60)).count("ok ") == 4

    await check_notes(cluster, pods)
    await check_drain(pods["-dataplane"])
    await asyncio.gather(end_well(pods["-consumer"]), end_well(pods["-controlplane"]))
    check_logs_for_secrets(cluster)


@pytest.mark.parametrize("suffix", [*COMPONENTS, "-migrate"])
def test_every_setting_that_the_chart_makes_is_known(
    suffix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pod = render(EVERYTHING).pod(suffix)
    insecure = render(MINIMAL).pod(suffix)
    (program,) = pod.container["command"]
    assert (PROGRAMS / program).is_file()
    (entry,) = entry_points(group="console_scripts", name=program)
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        entry.load()()
    page = capsys.readouterr().out
    made = {name for name in {**pod.env, **insecure.env} if name.startswith("TOLLWAY_")}
    assert made - set(re.findall(r"TOLLWAY_\w+", page)) == set()


async def check_notes(cluster: LocalCluster, pods: dict[str, RunningPod]) -> None:
    """The curls that the notes print, as if pasted with the port-forwards running."""
    ports = {"8081": pods["-controlplane"].port("admin"), "8080": pods["-dataplane"].port("api")}
    notes = cluster.release.notes.replace("\\\n", " ")
    commands = [line for line in map(str.strip, notes.splitlines()) if line.startswith("curl ")]
    variables = {"TOLLWAY_ADMIN_TOKEN": cluster.secrets["tollway-secrets"]["admin-token"]}
    answers = []
    for command in commands:
        for documented, actual in ports.items():
            command = command.replace(f"://localhost:{documented}/", f"://localhost:{actual}/")
        answers.append(await send_curl(string.Template(command).substitute(variables), cluster.secrets["feed-tls"]))
        variables["TOLLWAY_KEY"] = answers[-1].get("secret", "")
    team, key, models = answers
    assert team["name"] == "teams/demo"
    assert key["secret"].startswith("twk_")
    assert models == {"object": "list", "data": []}


async def send_curl(command: str, authority: Mapping[str, str]) -> dict[str, Any]:
    """What curl would answer. The key that a call shows may be on its way: a 401 is tried again for a second."""
    asked = parse_curl(command)
    trust = ssl.create_default_context(cadata=authority["ca.crt"]) if asked.cacert else not asked.insecure
    deadline = time.monotonic() + 1.0
    while True:
        status, body = await send(asked, trust)
        if status != 401 or time.monotonic() > deadline:
            assert status == 200, f"{command} answers {status}: {body}"
            return body
        await asyncio.sleep(0.05)


def parse_curl(command: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for flag, action in (("-X", "store"), ("-d", "store"), ("--cacert", "store"), ("-H", "append")):
        parser.add_argument(flag, action=action)
    parser.add_argument("--insecure", action="store_true")
    parser.add_argument("url")
    return parser.parse_args(shlex.split(command)[1:])


async def send(asked: argparse.Namespace, trust: ssl.SSLContext | bool) -> tuple[int, dict[str, Any]]:
    headers = dict(header.split(": ", 1) for header in asked.H)
    async with (
        aiohttp.ClientSession() as session,
        session.request(asked.X or "GET", asked.url, headers=headers, data=asked.d, ssl=trust) as answer,
    ):
        return answer.status, await answer.json()


async def check_drain(dataplane: RunningPod) -> None:
    """It stops being ready at once, still answers while endpoints forget it, and ends with 0."""
    ending = asyncio.create_task(end_well(dataplane))
    await dataplane.wait_for("readinessProbe", False, timeout_s=10)
    assert await dataplane.probe("livenessProbe")
    await ending


async def end_well(pod: RunningPod) -> None:
    assert await pod.terminate() == 0, pod.failure("did not end well")


async def read_metrics(pod: RunningPod) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{pod.port('metrics')}/metrics") as answer,
    ):
        assert answer.status == 200
        return await answer.text()


def check_logs_for_secrets(cluster: LocalCluster) -> None:
    values = [value for name in ("tollway-secrets", "tollway-postgres") for value in cluster.secrets[name].values()]
    for pod in cluster.running:
        log = pod.log.read_text(encoding="utf-8")
        assert not [value for value in values if value in log], pod.pod.owner


async def test_migration_tells_a_wrong_database_in_a_line(cluster_secrets: Secrets, tmp_path: Path) -> None:
    wrong = {**cluster_secrets, "tollway-postgres": {"url": "postgresql://nobody:hunter2@127.0.0.1:1/none"}}
    impatient = {"migrations": {"extraEnv": [{"name": "TOLLWAY_DATABASE_WAIT_S", "value": "1"}]}}
    cluster = LocalCluster(render(merge(MINIMAL, impatient)), wrong, tmp_path)
    migration = cluster.start("-migrate")
    try:
        code = await asyncio.wait_for(migration.child.wait(), 60)
    finally:
        await cluster.close()
    log = migration.log.read_text(encoding="utf-8")
    assert code > 0, log
    assert "TOLLWAY_DATABASE_URL" in log
    assert "hunter2" not in log
    assert "Traceback" not in log
