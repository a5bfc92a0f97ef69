"""One consumer: books usage events, each once, and with them what they charge to budgets."""

import random
from collections.abc import Iterable
from dataclasses import replace

from controlplane.quota.rows import BucketKey, BucketRow, Kind
from controlplane.quota.workbook import Workbook
from tests.simulation.database import DatabaseError, Place, Transaction
from tests.simulation.leases import BUCKET, ENTRY, LEASE
from tests.simulation.process import Process
from tests.simulation.quota_store import QuotaStore
from tests.simulation.timeline import MILLISECOND_US, Steps
from tests.simulation.trace import Trace
from tests.simulation.usage_queue import Charge, Event, UsageQueue

_BATCH = 50
_PAUSE_US = 400 * MILLISECOND_US


class Consumer:
    """As controlplane.ledger books: entries first, then buckets, then leases, each in order; then it acknowledges."""

    def __init__(
        self, process: Process, store: QuotaStore, queue: UsageQueue, chance: random.Random, trace: Trace
    ) -> None:
        self.process = process
        self._store = store
        self._queue = queue
        self._chance = chance
        self._trace = trace

    def start(self) -> None:
        self.process.start(self._work())

    def _work(self) -> Steps:
        while True:
            yield self.process.sleep(self._chance.randrange(_PAUSE_US))
            events = self._queue.fetch(_BATCH)
            if not events:
                continue
            try:
                transaction = self._store.database.begin(self.process)
                yield from self._book(transaction, events)
                self._queue.acknowledge(events)
            except DatabaseError as error:
                self._trace.note(self.process.name, "does not book", error)

    def _book(self, transaction: Transaction, events: list[Event]) -> Steps:
        offered = {event.event_id: event for event in events}
        yield from transaction.lock(self._in_order((ENTRY, event_id) for event_id in offered), self._round_trip_us())
        new = [event for event_id, event in offered.items() if transaction.read(ENTRY, event_id) is None]
        charges = [charge for event in new for charge in event.charges]
        keys = {BucketKey(charge.bucket_id, charge.window_start_ms) for charge in charges}
        lease_ids = {charge.lease_id for charge in charges if charge.lease_id is not None}
        yield from transaction.lock(self._in_order((BUCKET, key) for key in keys), self._round_trip_us())
        yield from transaction.lock(self._in_order((LEASE, lease_id) for lease_id in lease_ids), self._round_trip_us())
        book = Workbook(self._store.read(transaction, keys, lease_ids, ()))
        for charge in charges:
            self._charge(book, charge)
        for event in new:
            transaction.write(ENTRY, event.event_id, event)
        self._store.write(transaction, book.changes())
        yield from transaction.commit(self._round_trip_us())

    def _charge(self, book: Workbook, charge: Charge) -> None:
        key = BucketKey(charge.bucket_id, charge.window_start_ms)
        lease = book.lease(charge.lease_id) if charge.lease_id is not None else None
        if book.bucket(key) is None:
            book.put_bucket(BucketRow(key, self._store.names[charge.bucket_id], Kind.BUDGET, cap=0))
        if lease is not None:
            book.put_lease(replace(lease, settled=lease.settled + charge.amount_nano_usd))
        bucket = book.bucket(key)
        assert bucket is not None
        book.put_bucket(replace(bucket, spent=bucket.spent + charge.amount_nano_usd))

    def _in_order(self, places: Iterable[Place]) -> list[Place]:
        return sorted(places) if self._store.is_ordered else list(places)

    def _round_trip_us(self) -> int:
        return self._chance.randint(150, 3 * MILLISECOND_US)
