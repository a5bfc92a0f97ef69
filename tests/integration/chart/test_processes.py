"""The rendered pods as real processes on a real Postgres and NATS: they start, answer their probes, and end in time."""

import asyncio
import base64
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.chart.authority import Authority
from tests.integration.chart.cases import EVERYTHING, MINIMAL, MUTUAL_TLS, TLS
from tests.integration.chart.local_cluster import PROGRAMS, LocalCluster, RunningPod, Secrets
from tests.integration.chart.release import Values, merge, render

# In the contract; a release without a durable spool does not read it.
UNREAD = {"TOLLWAY_SPOOL_DIR"}
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

    await check_drain(pods["-dataplane"])
    await asyncio.gather(end_well(pods["-consumer"]), end_well(pods["-controlplane"]))
    check_logs_for_secrets(cluster)


@pytest.mark.parametrize("suffix", [*COMPONENTS, "-migrate"])
async def test_every_setting_that_the_chart_makes_is_known(suffix: str) -> None:
    pod = render(EVERYTHING).pod(suffix)
    insecure = render(MINIMAL).pod(suffix)
    (program,) = pod.container["command"]
    process = await asyncio.create_subprocess_exec(str(PROGRAMS / program), "--help", stdout=asyncio.subprocess.PIPE)
    page, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    made = {name for name in {**pod.env, **insecure.env} if name.startswith("TOLLWAY_")}
    assert made - UNREAD - set(re.findall(r"TOLLWAY_\w+", page.decode())) == set()


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
