"""The lease service of the control plane: one stream after the other, for as long as the process runs."""

import asyncio
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from dataplane.config.endpoints import Endpoint, EndpointError, FeedTls, open_channel, resolve
from dataplane.limits.buckets import Bucket
from dataplane.limits.desk import LeaseDesk
from dataplane.limits.stream import LeaseLost, LeaseStream, QuotaClient
from dataplane.retries import doubling_delays
from dataplane.rules import RuleIndex
from dataplane.snapshot import Snapshot

logger = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 0.05
LONGEST_RETRY_S: Final = 0.5
_CONFIG_INTERVAL_S: Final = 0.1
_LOOK_INTERVAL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    """`addresses` are those of the config feed, HOST:PORT; without `tls` they are dialled in plaintext."""

    addresses: tuple[str, ...]
    client: QuotaClient
    tls: FeedTls | None = None


class SnapshotSource(Protocol):
    """What holds the configuration in force; None until there is one."""

    @property
    def current(self) -> Snapshot | None: ...


class LeaseSource:
    """Keeps `desk` in leases, and gives back those of rules that `holder` has no more."""

    def __init__(self, settings: QuotaSettings, desk: LeaseDesk, holder: SnapshotSource) -> None:
        self._settings = settings
        self._desk = desk
        self._holder = holder
        self._generation = 0
        self._reported: set[str] = set()

    async def run(self) -> None:
        """Runs until cancelled. What goes wrong with the stream is logged once per outage and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_rules(), name="quota-rules")
            group.create_task(self._follow(), name="quota-stream")

    async def give_back(self, timeout_s: float) -> None:
        """Returns every lease for good, and waits until the control plane has noted it. No call may be running."""
        table = self._desk.table
        table.return_all()
        self._desk.urge()
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while table.is_connected and not table.exchange.is_settled:
            if asyncio.get_running_loop().time() >= deadline_s:
                logger.warning("leases are not given back, for the control plane did not take them; they expire")
                return
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def _follow(self) -> None:
        delays = retry_delays()
        while True:
            has_answered = False
            for address in self._settings.addresses:
                has_answered |= await self._try_name(address)
            if has_answered:
                delays = retry_delays()
            await asyncio.sleep(next(delays))

    async def _try_name(self, address: str) -> bool:
        has_answered = False
        try:
            for endpoint in await resolve(address, random.shuffle):
                has_answered |= await self._try_endpoint(endpoint)
        except EndpointError as error:
            self._report(f"{address}: {error}")
        return has_answered

    async def _try_endpoint(self, endpoint: Endpoint) -> bool:
        self._generation += 1
        stream = LeaseStream(self._settings.client, self._desk, self._generation)
        channel = open_channel(endpoint, self._settings.tls)
        try:
            await stream.follow(channel)
        except LeaseLost as lost:
            if stream.has_answered:
                self._reported.clear()
            self._report(f"{endpoint.shown}: {lost}")
        finally:
            await channel.close(None)
        return stream.has_answered

    async def _watch_rules(self) -> None:
        """The table's time also passes without a stream."""
        seen: RuleIndex | None = None
        while True:
            snapshot = self._holder.current
            if snapshot is not None and snapshot.limits is not seen:
                seen = snapshot.limits
                self._desk.table.retire(_CurrentRules(seen))
            if not self._desk.table.is_connected:
                self._desk.table.tick(self._desk.now_ms)
            await asyncio.sleep(_CONFIG_INTERVAL_S)

    def _report(self, problem: str) -> None:
        if problem not in self._reported:
            self._reported.add(problem)
            logger.warning("leases cannot be had: %s", problem)


class _CurrentRules:
    """Whether a bucket is of a rule as `index` has it."""

    def __init__(self, index: RuleIndex) -> None:
        self._rules = index.rules

    def __call__(self, bucket: Bucket) -> bool:
        rule = self._rules.get(bucket.rule)
        return rule is not None and rule.generation == bucket.generation


def retry_delays() -> Iterator[float]:
    """Seconds before each further round of attempts: short at first, then doubling, up to half of each by chance."""
    return doubling_delays(FIRST_RETRY_S, LONGEST_RETRY_S)
