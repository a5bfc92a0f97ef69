"""Answers the streams of data planes: what they say becomes transactions, decided by the pure authority."""

import asyncio
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field

from controlplane.errors import Unavailable
from controlplane.quota.authority import Decision, decide, named_buckets, wanted
from controlplane.quota.metrics import QuotaMetrics
from controlplane.quota.reconciliation import learn_held, reconcile, wanted_by
from controlplane.quota.repository import QuotaRepository, QuotaTransaction, RaceLost
from controlplane.quota.rows import BucketSpec, Kind
from controlplane.quota.seeder import Seeder
from controlplane.quota.seeds.repository import SeedRepository
from controlplane.quota.session import Holder, InvalidMessage, SessionMemory, read_id
from controlplane.quota.sessions.repository import SessionRepository
from controlplane.quota.situation import Situation, Sources, Specs
from controlplane.quota.specs import Lookup, spec_of
from controlplane.quota.workbook import Rows
from tollway.quota.v1.quota_pb2 import Hello, LeaseResponse, Update

BATCH_ASKS = 200
TRIES = 3
MAX_NODE = 253
MAX_HELD = 100_000
_MAX_NUMBER = 1 << 63


@dataclass(slots=True, eq=False)
class QuotaSession:
    """One stream; whoever writes to it holds `writing`."""

    holder: Holder
    memory: SessionMemory = field(default_factory=SessionMemory)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class QuotaStores:
    """Where quota is kept."""

    quota: QuotaRepository
    sessions: SessionRepository
    seeds: SeedRepository


class QuotaService:
    """`lookup` gives a resource in machine form as the configuration of this moment has it.

    Methods raise Unavailable when the same may be asked again, Fenced when another stream has taken over, and
    InvalidMessage.
    """

    def __init__(self, stores: QuotaStores, lookup: Lookup, sources: Sources, metrics: QuotaMetrics) -> None:
        self._stores = stores
        self._lookup = lookup
        self._sources = sources
        self._metrics = metrics
        self._seeder = Seeder(stores.seeds, lookup)
        self.fleet = 1

    async def introduce(self, hello: Hello) -> QuotaSession:
        """Takes the session for a new stream, and brings the leases of its process in order."""
        _check(hello)
        session = QuotaSession(Holder(hello.node, hello.boot_id, hello.generation))
        learn_held(hello, session.memory)
        gone = await self._stores.sessions.gone(session.holder)
        for _ in range(TRIES):
            try:
                decision = await self._reconcile(hello, session, gone)
            except RaceLost:
                continue
            session.memory.keep(decision.rate_leases, decision.ended_rates)
            return session
        raise Unavailable("quota is busy; try again shortly")

    async def answer(self, session: QuotaSession, update: Update) -> LeaseResponse:
        """The response to `update`, after everything in it is committed. One at a time for each session."""
        begun_s = time.monotonic()
        response = LeaseResponse(ack_sequence=update.sequence, fleet=self.fleet)
        session.memory.learn(ask.bucket for ask in update.asks)
        for part in _parts(update):
            answered = await self._answer_part(session, part)
            response.grants.extend(answered.grants)
            response.recalls.extend(answered.recalls)
        self._metrics.answered(update, response, time.monotonic() - begun_s)
        return response

    async def close(self) -> None:
        """Ends what is under way beside the streams."""
        await self._seeder.close()

    async def leave(self, session: QuotaSession) -> None:
        await self._stores.sessions.leave(session.holder)

    async def touch(self, sessions: Collection[QuotaSession]) -> None:
        """Notes that these streams are alive, and how many there are everywhere."""
        self.fleet = max(1, await self._stores.sessions.touch(session.holder for session in sessions))

    def spec(self, session: QuotaSession, bucket_id: uuid.UUID, now_us: int) -> BucketSpec | None:
        """What a bucket that the stream has spelled is at `now_us`."""
        name = session.memory.names.get(bucket_id)
        return None if name is None else spec_of(name, self._lookup, now_us)

    async def _answer_part(self, session: QuotaSession, update: Update) -> LeaseResponse:
        """Buckets that have no seed are to get one first; where that takes longer, they are unknown until then."""
        is_seeded = False
        for _ in range(TRIES + 1):
            try:
                async with self._stores.quota.update(session.holder) as transaction:
                    specs, rows = await self._load(session, update, transaction)
                    unseeded = [] if is_seeded else _unseeded(specs, rows)
                    if not unseeded:
                        decision = decide(update, self._situation(session, specs, rows, transaction))
                        await transaction.store(decision.changes)
            except RaceLost:
                continue
            if not unseeded:
                session.memory.keep(decision.rate_leases, decision.ended_rates)
                session.memory.forget(transaction.now_us)
                return decision.response
            await self._seeder.seed(unseeded)
            is_seeded = True
        raise Unavailable("quota is busy; try again shortly")

    async def _load(self, session: QuotaSession, update: Update, transaction: QuotaTransaction) -> tuple[Specs, Rows]:
        specs = self._specs(session, named_buckets(update), transaction.now_us)
        return specs, await transaction.load(wanted(update, specs))

    async def _reconcile(self, hello: Hello, session: QuotaSession, gone: Collection[int]) -> Decision:
        async with self._stores.quota.introduction(session.holder) as transaction:
            held = {read_id(lease.bucket.bucket_id, "bucket_id") for lease in hello.held}
            specs = self._specs(session, held, transaction.now_us)
            boot_ids = {hello.boot_id, *gone}
            rows = await transaction.load(wanted_by(hello, specs), boot_ids=boot_ids)
            decision = reconcile(hello, self._situation(session, specs, rows, transaction), gone)
            await transaction.store(decision.changes)
        return decision

    def _specs(self, session: QuotaSession, ids: Collection[uuid.UUID], now_us: int) -> Specs:
        return {bucket_id: self.spec(session, bucket_id, now_us) for bucket_id in ids}

    def _situation(self, session: QuotaSession, specs: Specs, rows: Rows, transaction: QuotaTransaction) -> Situation:
        return Situation(session.holder, session.memory, specs, rows, transaction.now_us, self._sources)


def _check(hello: Hello) -> None:
    if not 0 < len(hello.node) <= MAX_NODE or not hello.node.isprintable():
        raise InvalidMessage(f"Hello.node must be 1 to {MAX_NODE} printable characters")
    if not 0 < hello.boot_id < _MAX_NUMBER or not 0 < hello.generation < _MAX_NUMBER:
        raise InvalidMessage("Hello.boot_id and Hello.generation must be positive and below 2^63")
    if len(hello.held) > MAX_HELD:
        raise InvalidMessage(f"Hello.held lists more than {MAX_HELD} leases")


def _parts(update: Update) -> list[Update]:
    """`update` in parts of at most BATCH_ASKS asks and returns."""
    if len(update.asks) + len(update.returns) <= BATCH_ASKS:
        return [update]
    returns, asks = update.returns, update.asks
    parts = [
        Update(sequence=update.sequence, returns=returns[n : n + BATCH_ASKS])
        for n in range(0, len(returns), BATCH_ASKS)
    ]
    return parts + [
        Update(sequence=update.sequence, asks=asks[n : n + BATCH_ASKS]) for n in range(0, len(asks), BATCH_ASKS)
    ]


def _unseeded(specs: Specs, rows: Rows) -> list[BucketSpec]:
    budgets = [spec for spec in specs.values() if spec is not None and spec.kind is Kind.BUDGET]
    return [spec for spec in budgets if (row := rows.buckets.get(spec.key)) is None or not row.seeded]
