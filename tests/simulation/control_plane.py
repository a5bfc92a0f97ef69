"""One control plane process: the quota service around the pure authority."""

import random
import uuid
from collections import deque
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field, replace

from controlplane.quota import authority, reconciliation
from controlplane.quota.recalls import recalls_of
from controlplane.quota.rows import BucketKey, BucketRow, BucketSpec, LeaseRow
from controlplane.quota.session import Holder, SessionMemory
from controlplane.quota.situation import Situation, Sources, Specs
from controlplane.quota.specs import spec_of
from controlplane.quota.workbook import Rows, Workbook
from tests.simulation.configuration import View
from tests.simulation.database import DatabaseError, Deadlock, Transaction
from tests.simulation.leases import BUCKET, SESSION
from tests.simulation.links import Stream
from tests.simulation.process import Process
from tests.simulation.quota_store import QuotaStore, SessionRow
from tests.simulation.timeline import MILLISECOND_US, SECOND_US, Steps, Wait
from tests.simulation.trace import Trace
from tollway.quota.v1.quota_pb2 import LeaseRequest, LeaseResponse, Update

_TRIES = 3
_RECALL_US = SECOND_US // 2


class Fenced(Exception):
    """A newer stream of the same process is there."""


@dataclass(slots=True)
class Session:
    """What a control plane remembers of one stream."""

    holder: Holder
    memory: SessionMemory = field(default_factory=SessionMemory)
    waiting: deque[LeaseRequest] = field(default_factory=deque)
    is_busy: bool = False
    seen: set[int] = field(default_factory=set)

    def admits(self, sequence: int) -> bool:
        """A stream of gRPC repeats nothing; one that does must tell what it has had, or grants twice."""
        is_new = sequence not in self.seen
        self.seen.add(sequence)
        return is_new


class ControlPlane:
    """Serves streams; any of them may ask for any bucket."""

    def __init__(self, process: Process, store: QuotaStore, chance: random.Random, trace: Trace) -> None:
        self.process = process
        self.view: View | None = None
        self._store = store
        self._chance = chance
        self._trace = trace
        self._sessions: dict[Stream, Session] = {}
        self._sources = Sources(self._new_id, chance.randrange)

    def start(self) -> None:
        self._reap_later()
        self.process.after(_RECALL_US, lambda: self._recall(self._store.now_us()))

    def on_request(self, stream: Stream, message: LeaseRequest) -> None:
        """Messages of one stream are worked off one after another."""
        if stream not in self._sessions:
            hello = message.hello
            self._sessions[stream] = Session(Holder(hello.node, hello.boot_id, hello.generation))
        session = self._sessions[stream]
        session.waiting.append(message)
        if not session.is_busy:
            session.is_busy = True
            self.process.start(self._serve(stream, session))

    def _serve(self, stream: Stream, session: Session) -> Steps:
        try:
            while session.waiting:
                message = session.waiting.popleft()
                if message.HasField("hello") or session.admits(message.update.sequence):
                    yield from self._try(stream, session, message)
        except (DatabaseError, Fenced) as error:
            self._trace.note(self.process.name, "ends stream of", session.holder.node, error)
            del self._sessions[stream]
            stream.refuse()
        session.is_busy = False

    def _try(self, stream: Stream, session: Session, message: LeaseRequest) -> Steps:
        for attempt in range(_TRIES):
            transaction = self._store.database.begin(self.process)
            try:
                if message.HasField("hello"):
                    yield from self._greet(transaction, session, message)
                    stream.respond(LeaseResponse())
                else:
                    yield from self._answer(transaction, stream, session, message.update)
                return
            except Deadlock:
                if attempt == _TRIES - 1:
                    raise
            finally:
                transaction.roll_back()

    def _greet(self, transaction: Transaction, session: Session, message: LeaseRequest) -> Steps:
        hello, holder = message.hello, session.holder
        reconciliation.learn_held(hello, session.memory)
        specs = self._specs(session, {uuid.UUID(bytes=held.bucket.bucket_id) for held in hello.held})
        wanted = reconciliation.wanted_by(hello, specs)
        yield from transaction.lock([(SESSION, holder.boot_id)], self._round_trip_us())
        now_us = self._begin_session(transaction, holder)
        others = self._store.index.boots_of(holder.node) - {holder.boot_id}
        gone = {boot_id for boot_id in others if not self._store.is_connected(boot_id)}
        leases = wanted.leases | self._store.index.held_by({holder.boot_id, *gone})
        keys = self._store.bucket_keys(replace(wanted, leases=frozenset(leases)))
        rows = yield from self._load(transaction, keys, lambda: leases, frozenset())
        decision = reconciliation.reconcile(hello, self._situation(session, specs, rows, now_us), gone)
        self._store.write(transaction, decision.changes)
        yield from transaction.commit(self._round_trip_us())
        session.memory.keep(decision.rate_leases, decision.ended_rates)

    def _answer(self, transaction: Transaction, stream: Stream, session: Session, update: Update) -> Steps:
        session.memory.learn(ask.bucket for ask in update.asks)
        specs = self._specs(session, authority.named_buckets(update))
        wanted = authority.wanted(update, specs)
        yield from transaction.lock([(SESSION, session.holder.boot_id)], self._round_trip_us())
        now_us = self._check_fence(transaction, session.holder)
        keys = self._store.bucket_keys(wanted)
        rows = yield from self._load(transaction, keys, lambda: self._store.lease_ids(wanted), wanted.rates)
        decision = authority.decide(update, self._situation(session, specs, rows, now_us))
        self._store.write(transaction, decision.changes)
        yield from transaction.commit(self._round_trip_us())
        session.memory.keep(decision.rate_leases, decision.ended_rates)
        stream.respond(decision.response)
        self._seed(keys)

    def _load(
        self,
        transaction: Transaction,
        keys: set[BucketKey],
        lease_ids: Callable[[], Collection[uuid.UUID]],
        rates: frozenset[uuid.UUID],
    ) -> Generator[Wait, None, Rows]:
        """Statement 1 locks buckets; statement 2, which sees what was committed meanwhile, reads leases."""
        yield from transaction.lock(self._store.places(keys, rates), self._round_trip_us())
        leases = lease_ids()
        yield from transaction.lock(self._store.lease_places(leases), self._round_trip_us())
        return self._store.read(transaction, keys, leases, rates)

    def _situation(self, session: Session, specs: Specs, rows: Rows, now_us: int) -> Situation:
        return Situation(session.holder, session.memory, specs, rows, now_us, self._sources)

    def _specs(self, session: Session, bucket_ids: set[uuid.UUID]) -> dict[uuid.UUID, BucketSpec | None]:
        assert self.view is not None
        names = ((bucket_id, session.memory.names.get(bucket_id)) for bucket_id in bucket_ids)
        now_us = self._store.now_us()
        return {
            bucket_id: None if name is None else spec_of(name, self.view.resource, now_us) for bucket_id, name in names
        }

    def _begin_session(self, transaction: Transaction, holder: Holder) -> int:
        row: SessionRow | None = transaction.read(SESSION, holder.boot_id)
        if self._store.is_fenced and row is not None and row.generation >= holder.generation:
            raise Fenced(f"session is {row}")
        return self._touch(transaction, holder)

    def _check_fence(self, transaction: Transaction, holder: Holder) -> int:
        row: SessionRow | None = transaction.read(SESSION, holder.boot_id)
        if self._store.is_fenced and (row is None or row.generation != holder.generation):
            raise Fenced(f"session is {row}")
        return self._touch(transaction, holder)

    def _touch(self, transaction: Transaction, holder: Holder) -> int:
        """The database's time, which is read before buckets are waited for."""
        now_us = self._store.now_us()
        transaction.write(SESSION, holder.boot_id, SessionRow(holder.generation, now_us))
        return now_us

    def _seed(self, keys: set[BucketKey]) -> None:
        """Budgets that are met for the first time hold what the ledger had before."""
        for key in keys:
            row = self._store.bucket(key)
            if row is not None and not row.seeded:
                self.process.start(self._seed_bucket(key))

    def _seed_bucket(self, key: BucketKey) -> Steps:
        try:
            transaction = self._store.database.begin(self.process)
            yield from transaction.lock(self._store.places([key]), self._round_trip_us())
            row: BucketRow | None = transaction.read(BUCKET, key)
            if row is not None and not row.seeded:
                spent = row.spent + self._store.prior(row)
                transaction.write(BUCKET, key, replace(row, spent=spent, seeded=True))
            yield from transaction.commit(self._round_trip_us())
        except DatabaseError as error:
            self._trace.note(self.process.name, "does not seed", key, error)

    def _reap_later(self) -> None:
        self.process.after(self._chance.randint(4 * SECOND_US, 6 * SECOND_US), lambda: self.process.start(self._reap()))

    def _reap(self) -> Steps:
        """Leases that nobody renews; done by all control planes, now and then at once."""
        try:
            due = self._store.due_leases()
            transaction = self._store.database.begin(self.process)
            keys = {key for key, _ in due}
            rows = yield from self._load(transaction, keys, lambda: {lease_id for _, lease_id in due}, frozenset())
            book = Workbook(rows)
            for lease in rows.leases.values():
                book.put_lease(self._store.reaped(lease))
            self._store.write(transaction, book.changes())
            yield from transaction.commit(self._round_trip_us())
        except DatabaseError as error:
            self._trace.note(self.process.name, "does not reap", error)
        self._reap_later()

    def _recall(self, since_us: int) -> None:
        """Asks back what others need, and what is of rules or periods that are over."""
        now_us = self._store.now_us()
        if self._store.database.is_up:
            streams = {session.holder.boot_id: (stream, session) for stream, session in self._sessions.items()}
            leases = self._store.open_leases(streams)
            buckets = [row for key in {lease.key for lease in leases} if (row := self._store.bucket(key)) is not None]
            starved = {row.key for row in buckets if row.starved_us > since_us}

            def spec_of_lease(lease: LeaseRow) -> BucketSpec | None:
                bucket_id = lease.key.bucket_id
                return self._specs(streams[lease.boot_id][1], {bucket_id})[bucket_id]

            for lease, recall in recalls_of(leases, buckets, spec_of_lease, starved):
                streams[lease.boot_id][0].respond(LeaseResponse(recalls=[recall]))
        self.process.after(_RECALL_US, lambda: self._recall(now_us))

    def _new_id(self) -> uuid.UUID:
        return uuid.UUID(int=self._chance.getrandbits(128), version=4)

    def _round_trip_us(self) -> int:
        return self._chance.randint(150, 3 * MILLISECOND_US)
