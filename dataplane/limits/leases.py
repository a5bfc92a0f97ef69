"""The leases of one process, and the calls that take from them: a state machine without clock or I/O. Pure.

A call's needs are debited in one step over all its buckets, or not at all. What is missing is asked for; the call
then waits, in order of arrival and never beyond its deadline. Times are milliseconds of a monotonic clock.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from dataplane.limits.buckets import Bucket, Kind
from dataplane.limits.exchange import Exchange
from dataplane.limits.holding import Holding
from dataplane.limits.holdings import Holdings
from dataplane.limits.reservations import Denial, Need, Reason, Reservation, State, Way, exhausted
from dataplane.rules import OnUnavailable
from tollway.quota.v1 import quota_pb2 as wire

WAIT_MS: Final = 1_000
MAX_WAITING_PER_BUCKET: Final = 256
MAX_WAITING: Final = 2_048
LOST_GRACE_MS: Final = 500
"""For how long after the stream was lost calls still wait for the next one."""
_RETRY_MS: Final = 1_000


class LeaseListener(Protocol):
    """Who is told what happens in a table, at once and within the call that made it happen."""

    def resolved(self, reservation: Reservation) -> None:
        """It waited, and is held or refused now."""
        ...

    def urged(self) -> None:
        """Something is to be said now: a call waits for it, here or elsewhere."""
        ...


class LeaseTable:
    """Every method takes the present time. `listener` must not call back into the table."""

    def __init__(self, listener: LeaseListener, now_ms: int) -> None:
        self._listener = listener
        self._waiting: deque[Reservation] = deque()
        self._lost_ms = now_ms
        self.holdings = Holdings()
        self.exchange = Exchange(self.holdings)
        self.is_connected = False
        self.waiting = 0

    def need(self, bucket: Bucket, amount: int, now_ms: int) -> Need:
        """What a call needs of `bucket`, to be put into a Reservation."""
        return Need(self.holdings.of(bucket, now_ms), amount)

    def reserve(self, reservation: Reservation, now_ms: int) -> None:
        """Leaves `reservation` held, refused with its `denial`, or waiting; its listener then hears of the end."""
        reservation.deadline_ms = now_ms + WAIT_MS
        self._try(reservation, now_ms)

    def withdraw(self, reservation: Reservation, now_ms: int) -> None:
        """Ends a reservation that nobody waits for any more; what it held goes back."""
        if reservation.state is State.HELD:
            for need in reservation.needs:
                self.settle(need, 0, now_ms)
        self._leave(reservation, State.WITHDRAWN)

    def settle(self, need: Need, actual: int, now_ms: int) -> None:
        """Ends a need that was held; what it `actual`ly took stays taken. Only the first time counts."""
        if need.is_settled or need.way is Way.NOT_YET:
            return
        need.is_settled = True
        holding, lease = need.holding, need.lease
        if lease is not None:
            holding.settle(lease, need.amount, actual, now_ms - need.admitted_ms)
        elif holding.bucket.kind is Kind.SLOTS and need.way is not Way.EXCEEDED:
            holding.unleased -= need.amount
        if holding.waiting:
            self._serve(holding, now_ms)
        if holding.per_call and not holding.waiting and holding.current is not None:
            holding.current.give_back()
        self._tell(holding)

    def tick(self, now_ms: int) -> None:
        """To be called ten times a second: renews, gives back, and ends waits that took too long."""
        self.holdings.tick(now_ms)
        self.expire(now_ms)

    def expire(self, now_ms: int) -> None:
        """Ends the wait of calls whose deadline has come: their rules say what becomes of them."""
        while self._waiting and self._waiting[0].deadline_ms <= now_ms:
            reservation = self._waiting.popleft()
            if reservation.state is State.WAITING:
                self._try(reservation, now_ms)

    def greet(self) -> list[wire.HeldLease]:
        """A stream begins: the leases that its Hello lists."""
        return self.exchange.open()

    def opened(self) -> None:
        """The control plane has taken the Hello: it answers now."""
        self.is_connected = True

    def lost(self, now_ms: int) -> None:
        """The stream is gone."""
        if self.is_connected:
            self.is_connected, self._lost_ms = False, now_ms

    def take(self, response: wire.LeaseResponse, now_ms: int) -> None:
        """Applies an answer of the control plane, and serves calls that waited for it."""
        for holding in self.exchange.take(response, now_ms):
            self._serve(holding, now_ms)

    def retire(self, is_current: Callable[[Bucket], bool]) -> None:
        """The configuration changed: what is held of rules that are gone or count otherwise goes back."""
        self.holdings.retire(is_current)

    def return_all(self) -> None:
        """Everything that no running call has reserved goes back, for good."""
        for holding in self.holdings:
            self.holdings.end(holding)

    def _try(self, reservation: Reservation, now_ms: int) -> None:
        """Holds everything, or nothing: then `reservation` is refused, or waits."""
        if reservation.state is State.NEW and self._take_covered(reservation, now_ms):
            return
        ways: list[Way] = []
        is_new = reservation.state is State.NEW
        for need in reservation.needs:
            way = self._way(need, reservation, now_ms, is_new=is_new)
            if isinstance(way, Denial):
                reservation.denial = way
                self._resolve(reservation, State.REFUSED)
                return
            ways.append(way)
        if Way.NOT_YET in ways:
            self._wait(reservation, ways, now_ms)
            return
        for need, way in zip(reservation.needs, ways, strict=True):
            self._take(need, way, now_ms)
        self._resolve(reservation, State.HELD)

    def _take_covered(self, reservation: Reservation, now_ms: int) -> bool:
        """Holds everything where leases cover it and nobody waits, which is how most calls fare."""
        for need in reservation.needs:
            if need.holding.waiting or not need.holding.covers(need.amount, now_ms):
                return False
        for need in reservation.needs:
            self._take_leased(need, now_ms)
        reservation.state = State.HELD
        return True

    def _way(self, need: Need, reservation: Reservation, now_ms: int, *, is_new: bool) -> Way | Denial:
        """How `need` can be met now; NOT_YET when it has to wait."""
        holding = need.holding
        if (not is_new or not holding.waiting) and holding.covers(need.amount, now_ms):
            return Way.LEASED
        shortfall = need.amount - holding.balance(now_ms)
        is_last = now_ms >= reservation.deadline_ms or not self._may_answer(now_ms)
        is_denied = holding.was_denied(shortfall, now_ms) if is_last else holding.denies(shortfall, now_ms)
        if is_denied and (is_last or not holding.may_come_free):
            return exhausted(holding, now_ms) if holding.bucket.is_enforced else Way.EXCEEDED
        if is_last:
            return self._without_lease(need, now_ms)
        if is_new and (len(holding.waiting) >= MAX_WAITING_PER_BUCKET or self.waiting >= MAX_WAITING):
            if self._lets_pass(holding.bucket):
                return Way.UNLEASED
            return Denial(holding.bucket, Reason.CROWDED, _RETRY_MS)
        return Way.NOT_YET

    def _may_answer(self, now_ms: int) -> bool:
        return self.is_connected or now_ms - self._lost_ms < LOST_GRACE_MS

    def _without_lease(self, need: Need, now_ms: int) -> Way | Denial:
        bucket = need.holding.bucket
        if self._lets_pass(bucket):
            return Way.UNLEASED
        # Slots that an answer which is only late may have given to others already would be one too many.
        is_late = bucket.kind is Kind.SLOTS and self.is_connected
        if bucket.on_unavailable is OnUnavailable.DENY or bucket.kind is Kind.BUDGET or is_late:
            return Denial(bucket, Reason.UNAVAILABLE, _RETRY_MS)
        missing_ms = self._missing_of_share_ms(need, now_ms)
        if not missing_ms:
            return Way.LOCAL_SHARE
        return Denial(bucket, Reason.EXHAUSTED, missing_ms, limit=bucket.amount)

    @staticmethod
    def _lets_pass(bucket: Bucket) -> bool:
        """Whether calls pass where nothing can be had."""
        return not bucket.is_enforced or bucket.on_unavailable is OnUnavailable.ALLOW

    def _missing_of_share_ms(self, need: Need, now_ms: int) -> int:
        holding, fleet = need.holding, self.exchange.fleet
        bucket, standing = holding.bucket, holding.standing
        if bucket.kind is Kind.RATE:
            if standing.seen_ms:
                holding.share.begin(bucket, standing.remaining, standing.seen_ms)
            return holding.share.missing_ms(bucket, fleet, need.amount, now_ms)
        share = bucket.amount // fleet
        return 0 if holding.reserved + holding.unleased + need.amount <= share else _RETRY_MS

    def _take(self, need: Need, way: Way, now_ms: int) -> None:
        if way is Way.LEASED:
            self._take_leased(need, now_ms)
            return
        holding, kind = need.holding, need.holding.bucket.kind
        need.way, need.admitted_ms = way, now_ms
        if kind is Kind.SLOTS and way is not Way.EXCEEDED:
            holding.unleased += need.amount
        elif kind is Kind.RATE and way in (Way.UNLEASED, Way.LOCAL_SHARE):
            # The control plane knows nothing of it: grants that come late or later must not come on top of it.
            holding.owe(need.amount, now_ms)
            if way is Way.LOCAL_SHARE:
                holding.share.take(holding.bucket, self.exchange.fleet, need.amount, now_ms)

    def _take_leased(self, need: Need, now_ms: int) -> None:
        holding = need.holding
        need.way, need.admitted_ms = Way.LEASED, now_ms
        need.lease = holding.take(need.amount, now_ms)
        if holding.is_low(now_ms) and not holding.asked_sequence and self.is_connected:
            self.holdings.asking[holding.bucket.id] = holding

    def _wait(self, reservation: Reservation, ways: Sequence[Way], now_ms: int) -> None:
        if reservation.state is State.NEW:
            reservation.state = State.WAITING
            self._waiting.append(reservation)
            self.waiting += 1
        for need, way in zip(reservation.needs, ways, strict=True):
            if way is Way.NOT_YET:
                if reservation not in need.holding.waiting:
                    need.holding.waiting.append(reservation)
                if need.holding.shortfall(now_ms):
                    self._ask(need.holding, now_ms)

    def _ask(self, holding: Holding, now_ms: int) -> None:
        self.holdings.asking[holding.bucket.id] = holding
        if not holding.asked_sequence and now_ms >= holding.ask_from_ms and self.is_connected:
            self._listener.urged()

    def _serve(self, holding: Holding, now_ms: int) -> None:
        """Tries the calls that wait for a bucket in order; one that must wait on holds up those behind it."""
        queue, holding.waiting = holding.waiting, deque()
        is_blocked = False
        for reservation in queue:
            if reservation.state is not State.WAITING:
                continue
            amount = reservation.amount_of(holding)
            if not is_blocked or holding.denies(amount - holding.balance(now_ms), now_ms):
                self._try(reservation, now_ms)
            if reservation.state is State.WAITING:
                is_blocked = is_blocked or not holding.covers(amount, now_ms)
                if reservation not in holding.waiting:
                    holding.waiting.append(reservation)
        if holding.shortfall(now_ms):
            self._ask(holding, now_ms)

    def _resolve(self, reservation: Reservation, state: State) -> None:
        waited = reservation.state is State.WAITING
        self._leave(reservation, state)
        if waited:
            self._listener.resolved(reservation)

    def _leave(self, reservation: Reservation, state: State) -> None:
        if reservation.state is State.WAITING:
            self.waiting -= 1
            for need in reservation.needs:
                if reservation in need.holding.waiting:
                    need.holding.waiting.remove(reservation)
        reservation.state = state

    def _tell(self, holding: Holding) -> None:
        current = holding.current
        if holding.ending or (current is not None and current.returned > current.told_returned):
            self.holdings.telling[holding.bucket.id] = holding
            if holding.per_call and self.is_connected:
                self._listener.urged()
