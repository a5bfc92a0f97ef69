"""What goes wrong in each scenario, on the cluster of this machine."""

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from controlplane.ledger.source import BATCH_MESSAGES
from tests.chaos.campaign import Stage
from tests.chaos.checker import Verdict
from tests.chaos.cluster import COPIES, Cluster
from tests.chaos.commit_gate import CommitGate, Moment, commit_gate
from tests.chaos.evidence import ClientEnding
from tests.chaos.load import Kind
from tests.chaos.local_faults import (
    STREAM_AWAY,
    grow_stream,
    shrink_stream,
    wait_all_ready,
    waiting_messages,
    wipe_stream,
)
from tests.chaos.nemesis import strike_all
from tests.chaos.waiting import CampaignFailed, until

_SOON_S = 60.0
_RESENT_WITHIN_S = 30.0
_RESENT = "tollway_usage_resent_events_total"
_RETRIES = "tollway_usage_publish_retries_total"
_BUFFERED = "tollway_usage_buffered_events"
_MORE_THAN_CONSUMERS_HOLD = COPIES * BATCH_MESSAGES + 10
_FEW_EVENTS = 40
_LEASED_CALLS = 100
_EXPECTED = {Moment.BEFORE_COMMIT: "aborted", Moment.IN_COMMIT: "committed"}
_STREAM_WORDS = 100
_LONG_STREAMS = 6


@dataclass(frozen=True, slots=True)
class Size:
    """How often, and for how long each time in seconds."""

    rounds: int
    seconds: float


ClusterAttack = Callable[[Cluster, Stage, Size], Awaitable[list[Verdict]]]


async def kill_dataplanes(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """One after the other, mid-stream, each started again on its spool."""
    names = cluster.names("dataplane")
    for number in range(size.rounds):
        await asyncio.sleep(size.seconds)
        name = names[number % len(names)]
        await cluster.kill(name)
        await cluster.restart(name)
    return []


async def kill_consumers(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """By turns between the inserts and the commit, and between the commit and the acknowledgement.

    The last time, what the data planes keep is lost too: what NATS has accepted must be booked from there.
    """
    ended: dict[Moment, list[str]] = {Moment.BEFORE_COMMIT: [], Moment.IN_COMMIT: []}
    resent_before = await _sum_of(cluster, _RESENT)
    async with commit_gate(cluster.database_url) as gate:
        for number in range(size.rounds):
            moment = list(Moment)[number % len(Moment)]
            ended[moment] += await _kill_held(cluster, gate, moment)
        resent = await _sum_of(cluster, _RESENT) - resent_before
        async with gate.closed(Moment.BEFORE_COMMIT):
            await gate.wait_held(Moment.BEFORE_COMMIT)
            await stage.end_load()
            await until(lambda: _is_all_published(cluster), _SOON_S, "NATS to have all events")
            await _kill_all(cluster, "consumer")
            await _kill_all(cluster, "dataplane")
        for name in cluster.names("dataplane"):
            cluster.wipe_spool(name)
        for name in (*cluster.names("consumer"), *cluster.names("dataplane")):
            await cluster.restart(name)
    return [_kill_verdict(ended), _resend_verdict(resent)]


async def take_nats_down(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """Killed, down for a while, and caught up with before the next time."""
    for _ in range(size.rounds):
        await _down(cluster, "nats", size.seconds)
        await until(lambda: _is_caught_up(cluster), _SOON_S, "the data planes to catch up")
    return []


async def take_postgres_down(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """Killed, and down for a while; not before every team has leases."""
    await until(lambda: _have_begun(stage, _LEASED_CALLS), _SOON_S, "calls to begin")
    for _ in range(size.rounds):
        await _down(cluster, "postgres", size.seconds)
        for name in cluster.names("consumer"):
            await cluster.services[name].wait_ready()
    return []


async def fill_stream(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """The consumers are gone and the stream has no room: data planes are refused, and keep what they have."""
    retries_before = await _sum_of(cluster, _RETRIES)
    for _ in range(size.rounds):
        await _kill_all(cluster, "consumer")
        await until(lambda: _holds(cluster, 1), _SOON_S, "messages in the stream")
        await shrink_stream(cluster)
        held_before = await _sum_of(cluster, _BUFFERED)
        await asyncio.sleep(size.seconds)
        held = await _sum_of(cluster, _BUFFERED) - held_before
        for name in cluster.names("consumer"):
            await cluster.restart(name)
        await until(lambda: _is_caught_up(cluster), _SOON_S, "the data planes to catch up")
    retries = await _sum_of(cluster, _RETRIES) - retries_before
    found = () if held > 0 and retries > 0 else ("the stream was never full for the data planes",)
    return [
        Verdict("F1", "the stream was full: data planes kept their events", found, {"kept": held, "tries": retries})
    ]


async def lose_stream(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """What NATS had accepted and nobody has booked is gone with the stream: data planes are asked for it again."""
    found: list[str] = []
    for number in range(size.rounds):
        for name in cluster.names("consumer"):
            cluster.pause(name)
        await until(lambda: _holds(cluster, _MORE_THAN_CONSUMERS_HOLD), _SOON_S, "messages in the stream")
        before = await _sum_of(cluster, _RESENT)
        await wipe_stream(cluster)
        for name in cluster.names("consumer"):
            cluster.resume(name)
        try:
            await _wait_resent(cluster, before)
        except CampaignFailed as error:
            found.append(f"time {number + 1}: {error}")
    return [Verdict("W1", "what the stream lost was noticed and sent again", tuple(found), {"times": size.rounds})]


async def roll_dataplanes(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """Each replaced by a new one that is ready first, while streams of `seconds` run; its spool goes with it."""
    found: list[str] = []
    long_kind = Kind(1, f"sim/stream-{max(1, round(_STREAM_WORDS / size.seconds))}", stream=True)
    for _ in range(size.rounds):
        for old in cluster.names("dataplane"):
            streams = [asyncio.create_task(stage.load.call_once(long_kind)) for _ in range(_LONG_STREAMS)]
            new = cluster.add_dataplane(1 + max(int(name.rpartition("-")[2]) for name in cluster.names("dataplane")))
            await cluster.services[new].bring_up()
            await until(lambda: _is_known(stage, cluster), _SOON_S, "the balancer to know the new data plane")
            code = await _terminate(cluster, old)
            found += [f"{old} ended with exit code {code}"] if code else []
            cluster.remove_dataplane(old)
            cut = [seen for seen in await asyncio.gather(*streams) if seen.ending is not ClientEnding.GOOD]
            found += [f"a long stream was {seen.ending.value}: {seen.detail}" for seen in cut]
    return [Verdict("Z2", "data planes leave in good order, and long streams end well", tuple(found), {})]


async def restore_postgres(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """The database comes back as it was `seconds` before, without what was committed since; the tap has it."""
    backup = cluster.folder / "backup"
    await cluster.postgres.stop()
    shutil.rmtree(backup, ignore_errors=True)
    await _copy(cluster.folder / "postgres" / "data", backup)
    await cluster.restart("postgres")
    await asyncio.sleep(size.seconds)
    await stage.end_load()
    await cluster.kill("postgres")
    await asyncio.to_thread(shutil.rmtree, cluster.folder / "postgres" / "data")
    await _copy(backup, cluster.folder / "postgres" / "data")
    await cluster.restart("postgres")
    for name in (*cluster.names("controlplane"), *cluster.names("consumer")):
        await cluster.services[name].wait_ready()
    await cluster.replay_ledger()
    return []


async def strike_at_random(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """Kills, pauses and losses of everything, in an order that the seed gives."""
    struck = await strike_all(stage.site.faults, random.Random(stage.chance.random()), size.seconds)
    await wait_all_ready(cluster)
    await grow_stream(cluster)
    return [Verdict("N1", "faults were struck", () if struck else ("none was",), {n: struck.count(n) for n in struck})]


async def _kill_held(cluster: Cluster, gate: CommitGate, moment: Moment) -> list[str]:
    """Kills the consumers while a booking is held there, then lets it go on; how it ended."""
    async with gate.closed(moment):
        held = await gate.wait_held(moment)
        await _kill_all(cluster, "consumer")
    ended = await gate.wait_ended(held)
    await asyncio.gather(*(cluster.respawn(name) for name in cluster.names("consumer")))
    return ended


def _kill_verdict(ended: dict[Moment, list[str]]) -> Verdict:
    """The kills were where they were meant to be: what was held before the commit is undone, the rest is there."""
    found = [
        f"a booking killed {moment.name} is {status}"
        for moment, statuses in ended.items()
        for status in statuses
        if status != _EXPECTED[moment]
    ]
    numbers = {f"{_EXPECTED[moment]} {moment.name}": len(statuses) for moment, statuses in ended.items()}
    return Verdict("K1", "consumers were killed before the commit, and after it", tuple(found), numbers)


def _resend_verdict(resent: float) -> Verdict:
    found = (f"data planes were asked for {resent:g} events again",) if resent else ()
    return Verdict("K2", "NATS delivers again what a killed consumer held: nothing has left it unbooked", found, {})


async def _down(cluster: Cluster, name: str, seconds: float) -> None:
    await cluster.kill(name)
    await asyncio.sleep(seconds)
    await cluster.restart(name)


async def _kill_all(cluster: Cluster, kind: str) -> None:
    await asyncio.gather(*(cluster.kill(name) for name in cluster.names(kind)))


async def _terminate(cluster: Cluster, name: str) -> int:
    """SIGTERM, and the exit code."""
    service = cluster.services[name]
    if service.pid is None:
        raise CampaignFailed(f"{name} has ended by itself, see {service.log}")
    os.kill(service.pid, signal.SIGTERM)
    async with asyncio.timeout(_SOON_S):
        return await service.wait()


async def _sum_of(cluster: Cluster, sample: str) -> float:
    """Over the data planes that answer."""
    return sum([(await cluster.read_metrics(name)).get(sample, 0.0) for name in cluster.names("dataplane")])


async def _wait_resent(cluster: Cluster, before: float) -> None:
    """Raises CampaignFailed when data planes send nothing again."""

    async def have_resent() -> bool:
        return await _sum_of(cluster, _RESENT) > before

    await until(have_resent, _RESENT_WITHIN_S, "data planes to send again what was lost")


async def _have_begun(stage: Stage, calls: int) -> bool:
    return stage.load.begun >= calls


async def _is_caught_up(cluster: Cluster) -> bool:
    """While calls go on, a few events are always on their way to NATS."""
    return await _sum_of(cluster, _BUFFERED) <= _FEW_EVENTS


async def _is_all_published(cluster: Cluster) -> bool:
    """Twice in a row, for the figure is a moment old."""
    if await _sum_of(cluster, _BUFFERED):
        return False
    await asyncio.sleep(0.5)
    return not await _sum_of(cluster, _BUFFERED)


async def _holds(cluster: Cluster, messages: int) -> bool:
    try:
        return await waiting_messages(cluster) >= messages
    except STREAM_AWAY:
        return False


async def _is_known(stage: Stage, cluster: Cluster) -> bool:
    return stage.balancer.ready == frozenset(cluster.base_urls)


async def _copy(source: Path, target: Path) -> None:
    """With owners and modes."""
    process = await asyncio.create_subprocess_exec("cp", "-a", str(source), str(target))
    if await process.wait() != 0:
        raise CampaignFailed(f"{source} cannot be copied to {target}")
