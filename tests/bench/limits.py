"""Gateways with and without rules: the same 2,000 keys, of which each has three rules in one of them.

The one without rules reads manifests from a file. The one with rules has a control plane on PostgreSQL, which grants
it the leases; both of these run on the processor of the load.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.bench.processes import PinnedProcess
from tollctl.local.credentials import Credentials, load_credentials
from tollctl.local.ports import LOOPBACK, find_free_port
from tollctl.local.postgres import EmbeddedPostgres
from tollway.kernel.keys import make_virtual_key

KEYS = 2_000
THROUGHPUT_BOUND = 1.15
_TEAM = "bench"
_APPLIED_AT_ONCE = 500
_READY_S = 60.0
_RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Budget", {"amount_usd": "1000000", "period": "month"}),
    ("RateLimit", {"limits": [{"unit": "requests", "amount": 1_000_000, "window": "60s"}]}),
    ("RateLimit", {"limits": [{"unit": "tokens", "amount": 1_000_000_000, "window": "60s"}]}),
)


def write_keys(folder: Path) -> tuple[Path, dict[str, str]]:
    """A file with a key on each line, and the environment that the manifests' references name."""
    keys = {f"BENCH_KEY_{number}": make_virtual_key(secrets.randbelow) for number in range(KEYS)}
    path = folder / "keys"
    path.write_text("\n".join(keys.values()), encoding="ascii")
    return path, keys


def key_manifests(upstream_port: int) -> list[dict[str, Any]]:
    """The team, its keys and the upstream."""
    url = f"http://{LOOPBACK}:{upstream_port}/v1"
    return [
        _manifest("Team", _TEAM, {}),
        _manifest("Upstream", "bench", {"provider": "sim", "base_url": url}),
        *(_manifest("VirtualKey", f"k{n}", {"secret": {"ref": f"env:BENCH_KEY_{n}"}}, _TEAM) for n in range(KEYS)),
    ]


def rule_manifests() -> Iterator[dict[str, Any]]:
    """Three rules for each key, which nothing of the bench exceeds."""
    for number in range(KEYS):
        match = {"keys": [f"teams/{_TEAM}/keys/k{number}"]}
        for place, (kind, spec) in enumerate(_RULES):
            yield _manifest(kind, f"k{number}-{place}", {"match": match, **spec})


@asynccontextmanager
async def running_gateways(
    folder: Path, upstream_port: int, nats_url: str, cpus: tuple[int, int]
) -> AsyncIterator[tuple[PinnedProcess, PinnedProcess, Path]]:
    """The one without rules, the one with them, and the file of keys. cpus: of the gateways, and of the rest."""
    keys_path, secret_values = write_keys(folder)
    manifests = key_manifests(upstream_port)
    path = folder / "keys.yaml"
    path.write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    async with AsyncExitStack() as running:
        source = {"TOLLWAY_CONFIG_FILE": str(path), **secret_values}
        free = await _gateway(running, folder / "free", source, nats_url, cpus[0])
        feed = await _controlplane(running, folder, [*manifests, *rule_manifests()], secret_values, cpus[1])
        ruled = await _gateway(running, folder / "ruled", feed, nats_url, cpus[0])
        yield free, ruled, keys_path


async def _gateway(
    running: AsyncExitStack, folder: Path, source: Mapping[str, str], nats_url: str, cpu: int
) -> PinnedProcess:
    folder.mkdir()
    port = find_free_port(set())
    environment = {
        **source,
        "TOLLWAY_NATS_URL": nats_url,
        "TOLLWAY_LISTEN": f"{LOOPBACK}:{port}",
        "TOLLWAY_METRICS_LISTEN": f"{LOOPBACK}:{find_free_port({port})}",
        "TOLLWAY_DRAIN_DELAY_S": "0",
        "TOLLWAY_SPOOL_DIR": str(folder / "spool"),
        "TOLLWAY_SPOOL_MAX_BYTES": str(1 << 30),
        "TOLLWAY_NODE": folder.name,
    }
    gateway = await PinnedProcess.start(cpu, "-m", "dataplane.main", environment=environment, port=port)
    running.push_async_callback(gateway.stop)
    await _wait_ready(gateway, port)
    return gateway


async def _controlplane(
    running: AsyncExitStack,
    folder: Path,
    manifests: Sequence[dict[str, Any]],
    secret_values: Mapping[str, str],
    cpu: int,
) -> dict[str, str]:
    """With all manifests applied; what a data plane needs to be fed by it."""
    postgres = EmbeddedPostgres(folder / "postgres", log=folder / "postgres.log")
    database_url = postgres.settle()
    await postgres.bring_up()
    running.push_async_callback(postgres.stop)
    await _migrate(database_url)
    credentials = load_credentials(folder)
    admin, grpc, metrics = _three_ports(postgres.port)
    environment = {
        **secret_values,
        "TOLLWAY_DATABASE_URL": database_url,
        "TOLLWAY_ADMIN_LISTEN": f"{LOOPBACK}:{admin}",
        "TOLLWAY_GRPC_LISTEN": f"{LOOPBACK}:{grpc}",
        "TOLLWAY_METRICS_LISTEN": f"{LOOPBACK}:{metrics}",
        "TOLLWAY_ENCRYPTION_KEY": credentials.encryption_key,
        "TOLLWAY_KEY_PEPPER": credentials.key_pepper,
        "TOLLWAY_PLANE_TOKEN": credentials.plane_token,
        "TOLLWAY_ADMIN_TOKEN": credentials.admin_token,
        "TOLLWAY_DRAIN_DELAY_S": "0",
    }
    process = await PinnedProcess.start(cpu, "-m", "controlplane.main", environment=environment, port=admin)
    running.push_async_callback(process.stop)
    await _wait_ready(process, metrics)
    await _apply(admin, credentials, manifests)
    return {"TOLLWAY_CONTROLPLANE_ADDRESS": f"{LOOPBACK}:{grpc}", "TOLLWAY_PLANE_TOKEN": credentials.plane_token}


async def _migrate(database_url: str) -> None:
    environment = {**os.environ, "TOLLWAY_DATABASE_URL": database_url}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "controlplane.migrate_main", env=environment)
    if await process.wait() != 0:
        raise SystemExit("the database of the bench could not be prepared")


async def _apply(port: int, credentials: Credentials, manifests: Sequence[dict[str, Any]]) -> None:
    headers = {"authorization": f"Bearer {credentials.admin_token}"}
    async with aiohttp.ClientSession(f"http://{LOOPBACK}:{port}", headers=headers) as session:
        for start in range(0, len(manifests), _APPLIED_AT_ONCE):
            body = {"manifests": manifests[start : start + _APPLIED_AT_ONCE]}
            async with session.post("/v1/manifests:apply", json=body) as response:
                if response.status != 200:
                    raise SystemExit(f"the rules of the bench were refused: {await response.text()}")


async def _wait_ready(process: PinnedProcess, port: int) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(_READY_S):
        while process.is_running:
            try:
                async with session.get(f"http://{LOOPBACK}:{port}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
    raise SystemExit("a process of the bench did not become ready")


def _three_ports(taken: int) -> tuple[int, int, int]:
    ports = [taken]
    for _ in range(3):
        ports.append(find_free_port({*ports}))
    return ports[1], ports[2], ports[3]


def _manifest(kind: str, name: str, spec: dict[str, Any], team: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"team": team} if team else {})}
    return {"apiVersion": "tollway/v1", "kind": kind, "metadata": metadata, "spec": spec}
