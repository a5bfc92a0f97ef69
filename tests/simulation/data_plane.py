"""One data plane process: calls that take from the pure lease table, and the stream that feeds it."""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from dataplane.limits.buckets import Bucket
from dataplane.limits.buckets import Kind as BucketKind
from dataplane.limits.leases import LeaseTable
from dataplane.limits.reservations import Need, Reservation, State
from dataplane.rules import OnUnavailable
from tests.simulation.calls import Call
from tests.simulation.clocks import Clocks
from tests.simulation.configuration import View
from tests.simulation.links import KEEPALIVE_US, Stream
from tests.simulation.process import Process
from tests.simulation.rules import Kind, Rule
from tests.simulation.spool import Spool
from tests.simulation.timeline import MILLISECOND_US, SECOND_US, Timeline
from tests.simulation.trace import Trace
from tests.simulation.usage_queue import Charge, Event
from tests.simulation.watches import Watches
from tollway.quota.v1.quota_pb2 import Hello, LeaseRequest, LeaseResponse

_TICK_US = 100 * MILLISECOND_US
_URGENT_US = 5 * MILLISECOND_US
_HELLO = 0
_CUT_OFF_US = 14 * SECOND_US
"""Less than a lease of slots lasts."""
_KINDS = {
    Kind.STRICT_BUDGET: BucketKind.BUDGET,
    Kind.EXPECTED_BUDGET: BucketKind.BUDGET,
    Kind.REQUESTS: BucketKind.RATE,
    Kind.TOKENS: BucketKind.RATE,
    Kind.SLOTS: BucketKind.SLOTS,
}


@dataclass(slots=True, eq=False)
class Admission:
    """One call in this process, with the rules that match it."""

    call: Call
    rules: list[Rule]
    reservation: Reservation
    began_us: int = 0

    def needs(self) -> list[tuple[Rule, Need]]:
        return list(zip(self.rules, self.reservation.needs, strict=True))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a data plane finds where it runs.

    `meet` is told of each bucket before it is used; `connect` opens a stream to some control plane, or fails with None.
    """

    timeline: Timeline
    chance: random.Random
    clocks: Clocks
    now_us: Callable[[], int]
    watches: Watches
    trace: Trace
    meet: Callable[[Rule, str], None]
    connect: "Callable[[DataPlane], Stream | None]"


class DataPlane:
    """`boot_id` is new with every process; `node` is not."""

    def __init__(self, process: Process, node: str, boot_id: int, surroundings: Surroundings) -> None:
        self.process = process
        self.node = node
        self.boot_id = boot_id
        self.spool = Spool(boot_id)
        self.table = LeaseTable(self, surroundings.clocks.monotonic_us() // MILLISECOND_US)
        self.view: View | None = None
        self.running: dict[int, Admission] = {}
        self.refused = self.admitted = 0
        self._here = surroundings
        self._waiting: dict[Reservation, Admission] = {}
        self._buckets: dict[tuple[Rule, str], Bucket] = {}
        self.stream: Stream | None = None
        self._generation = 0
        self._unanswered: dict[int, int] = {}
        self._heard_us = surroundings.timeline.now_us
        self._is_flush_planned = False

    def start(self) -> None:
        self._connect()
        self._tick()

    def offer(self, call: Call) -> None:
        """A client asks."""
        assert self.view is not None
        rules = list(self.view.rules.values())
        needs = [self.table.need(self._bucket(rule, call.key), call.need(rule.kind), self._now_ms()) for rule in rules]
        admission = Admission(call, rules, Reservation(needs))
        self._waiting[admission.reservation] = admission
        self.table.reserve(admission.reservation, self._now_ms())
        if admission.reservation.state is not State.WAITING:
            self.resolved(admission.reservation)
        elif call.leaves_us:
            self.process.after(call.leaves_us, lambda: self._leave(admission))

    def resolved(self, reservation: Reservation) -> None:
        """Called by the lease table, and for calls that need not wait."""
        admission = self._waiting.pop(reservation)
        if reservation.state is State.HELD:
            self._run(admission)
        else:
            self.refused += 1

    def urged(self) -> None:
        """Called by the lease table: urgent asks wait for one another for a moment."""
        if not self._is_flush_planned:
            self._is_flush_planned = True
            self.process.after(_URGENT_US, self._flush)

    def respond(self, stream: Stream, message: LeaseResponse) -> None:
        """An answer has come."""
        if stream is self.stream:
            self._heard_us = self._here.timeline.now_us
            self._unanswered.pop(message.ack_sequence, None)
            if not self.table.is_connected:
                self.table.opened()
                self._flush()
            self.table.take(message, self._now_ms())

    def ended(self, stream: Stream) -> None:
        """The stream is gone."""
        if stream is self.stream:
            self.stream = None
            self.table.lost(self._now_ms())
            self.process.after(self._here.chance.randint(50, 500) * MILLISECOND_US, self._connect)

    @property
    def is_anybody_waiting(self) -> bool:
        return bool(self._waiting)

    def killed(self) -> None:
        """Its connections to upstreams are gone with it."""
        for admission in self.running.values():
            for rule in admission.rules:
                if rule.kind is Kind.SLOTS:
                    self._here.watches.slots[rule.bucket(admission.call.key)].ended(admission.call.call_id)

    def drain(self) -> None:
        """No call runs any more: everything goes back."""
        self.table.return_all()
        self._flush()

    def rules_changed(self) -> None:
        assert self.view is not None
        generations = {rule.name: rule.generation for rule in self.view.rules.values()}
        self.table.retire(lambda bucket: generations.get(bucket.rule) == bucket.generation)

    def _run(self, admission: Admission) -> None:
        call, now_us = admission.call, self._here.timeline.now_us
        admission.began_us = self._here.now_us()
        self.admitted += 1
        self.running[call.call_id] = admission
        charges = _charges(admission, lambda rule: call.need(rule.kind))
        self.spool.open(self._event(admission, call.most_nano_usd, charges))
        for rule, need in admission.needs():
            bucket_id = rule.bucket(call.key)
            if rule.kind.is_rate:
                self._here.watches.rates[bucket_id].admitted(now_us, need.amount)
            elif rule.kind is Kind.SLOTS:
                self._here.watches.slots[bucket_id].began(now_us, call.call_id)
        for charge in charges:
            self._here.watches.charged(call.call_id, charge, call.cost_nano_usd)
        self.process.after(call.lasts_us, lambda: self._end(admission))

    def _end(self, admission: Admission) -> None:
        call, now_us, now_ms = admission.call, self._here.timeline.now_us, self._now_ms()
        del self.running[call.call_id]
        charges = _charges(admission, lambda rule: call.cost_nano_usd)
        self.spool.close(self._event(admission, call.cost_nano_usd, charges))
        for rule, need in admission.needs():
            bucket_id, took = rule.bucket(call.key), call.took(rule.kind)
            if rule.kind.is_rate:
                self._here.watches.rates[bucket_id].ended(now_us, need.amount, took)
            elif rule.kind is Kind.SLOTS:
                self._here.watches.slots[bucket_id].ended(call.call_id)
            self.table.settle(need, took, now_ms)

    def _event(self, admission: Admission, cost_nano_usd: int, charges: tuple[Charge, ...]) -> Event:
        call = admission.call
        return Event(call.call_id, self.boot_id, call.key, cost_nano_usd, admission.began_us, charges)

    def _leave(self, admission: Admission) -> None:
        if self._waiting.pop(admission.reservation, None) is not None:
            self.table.withdraw(admission.reservation, self._now_ms())

    def _bucket(self, rule: Rule, key: str) -> Bucket:
        if (rule, key) not in self._buckets:
            self._here.meet(rule, key)
            self._buckets[rule, key] = bucket_of(rule, key)
        return self._buckets[rule, key]

    def _connect(self) -> None:
        self.stream = self._here.connect(self)
        if self.stream is None:
            self.process.after(self._here.chance.randint(50, 500) * MILLISECOND_US, self._connect)
            return
        self._generation += 1
        self._unanswered.clear()
        self._unanswered[_HELLO] = self._here.timeline.now_us
        held = self.table.greet()
        hello = Hello(node=self.node, boot_id=self.boot_id, generation=self._generation, held=held)
        self.stream.request(LeaseRequest(hello=hello))

    def _tick(self) -> None:
        self.table.tick(self._now_ms())
        self._flush()
        now_us = self._here.timeline.now_us
        if self.stream and self._unanswered and min(self._unanswered.values()) < now_us - KEEPALIVE_US:
            self.stream.end()
        self.process.after(_TICK_US, self._tick)

    def excuse(self) -> None:
        """Running calls of a data plane that was cut off may be too many: its leases have ended."""
        if self._here.timeline.now_us - self._heard_us < _CUT_OFF_US:
            return
        for admission in self.running.values():
            for rule in admission.rules:
                if rule.kind is Kind.SLOTS:
                    self._here.watches.slots[rule.bucket(admission.call.key)].excuse(admission.call.call_id)

    def _flush(self) -> None:
        self._is_flush_planned = False
        while self.stream is not None and self.table.is_connected:
            update = self.table.exchange.next_update(self._now_ms())
            if update is None:
                return
            self._unanswered[update.sequence] = self._here.timeline.now_us
            self.stream.request(LeaseRequest(update=update))

    def _now_ms(self) -> int:
        return self._here.clocks.monotonic_us() // MILLISECOND_US


def bucket_of(rule: Rule, key: str) -> Bucket:
    return Bucket(
        id=rule.bucket(key).bytes,
        rule=rule.name,
        generation=rule.generation,
        limit=0,
        per=("key",) if rule.per_key else (),
        values=rule.values(key),
        kind=_KINDS[rule.kind],
        unit=rule.kind.value,
        amount=rule.amount,
        window_ms=0 if rule.kind.is_budget else rule.window_ms,
        burst=rule.burst or rule.amount,
        is_enforced=True,
        on_unavailable=OnUnavailable.DENY,
    )


def _charges(admission: Admission, amount: Callable[[Rule], int]) -> tuple[Charge, ...]:
    """What the attempt is charged with to each budget, as its events say."""
    return tuple(
        Charge(
            rule.bucket(admission.call.key),
            need.window_start_ms,
            uuid.UUID(bytes=need.lease_id),
            amount(rule),
        )
        for rule, need in admission.needs()
        if rule.kind.is_budget
    )
