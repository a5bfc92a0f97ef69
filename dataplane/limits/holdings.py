"""All buckets of which this process holds or wants something, and what is to be done about each. Pure."""

import heapq
from collections.abc import Callable, Iterator
from itertools import count

from dataplane.limits.buckets import IDLE_MS, Bucket, Kind
from dataplane.limits.holding import Denied, Holding, Lease

_FORGET_MS = 60_000
_SHORTEST_LOOK_MS = 100


class Holdings:
    """By bucket id. `asking` want more, `telling` have something to give back or an end to tell."""

    def __init__(self) -> None:
        self._by_id: dict[bytes, Holding] = {}
        self._due: list[tuple[int, int, Holding]] = []
        self._numbers = count()
        self.asking: dict[bytes, Holding] = {}
        self.telling: dict[bytes, Holding] = {}

    def __iter__(self) -> Iterator[Holding]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, bucket_id: bytes) -> Holding | None:
        return self._by_id.get(bucket_id)

    def of(self, bucket: Bucket, now_ms: int) -> Holding:
        """The holding of `bucket`, made when there is none; `bucket` is the rule's present form."""
        holding = self._by_id.get(bucket.id)
        if holding is None:
            holding = self._by_id[bucket.id] = Holding(bucket, now_ms)
            self._look_at(holding, now_ms + _FORGET_MS)
        elif holding.bucket is not bucket:
            if holding.bucket.amount != bucket.amount:
                holding.denied = Denied()
            holding.bucket, holding.is_retired = bucket, False
        return holding

    def granted(self, holding: Holding, lease: Lease) -> None:
        """Notes that `lease` must be looked after."""
        if holding.bucket.kind is Kind.RATE:
            self._look_at(holding, lease.refresh_ms)
        else:
            self._look_at(holding, min(lease.refresh_ms, holding.last_used_ms + IDLE_MS[holding.bucket.kind]))

    def tick(self, now_ms: int) -> None:
        """Renews what is in use, gives back what is idle, and forgets what is neither."""
        while self._due and self._due[0][0] <= now_ms:
            due_ms, _, holding = heapq.heappop(self._due)
            if holding.look_ms == due_ms and self._by_id.get(holding.bucket.id) is holding:
                self._look(holding, now_ms)

    def retire(self, is_current: Callable[[Bucket], bool]) -> None:
        """Gives back what is held of buckets that the configuration has no more."""
        for holding in self._by_id.values():
            if not holding.is_retired and not is_current(holding.bucket):
                holding.is_retired = True
                self.end(holding)

    def end(self, holding: Holding) -> None:
        """Nothing more is admitted from the current lease, and what is free of it goes back."""
        lease = holding.current
        if lease is not None:
            lease.is_ending, holding.current = True, None
            lease.give_back()
            holding.ending.append(lease)
            self.telling[holding.bucket.id] = holding

    def _look_at(self, holding: Holding, due_ms: int) -> None:
        if holding.look_ms and holding.look_ms <= due_ms:
            return
        holding.look_ms = due_ms
        heapq.heappush(self._due, (due_ms, next(self._numbers), holding))

    def _look(self, holding: Holding, now_ms: int) -> None:
        holding.look_ms = 0
        is_idle = now_ms - holding.last_used_ms >= IDLE_MS[holding.bucket.kind]
        lease = holding.current
        if holding.is_stale(now_ms):
            self.end(holding)
        elif lease is not None and holding.bucket.kind is Kind.RATE:
            if holding.consumed > 0 and now_ms >= lease.refresh_ms:
                self.asking[holding.bucket.id] = holding
        elif lease is not None:
            if is_idle and not holding.waiting:
                self._give_back(holding, lease)
            if not lease.is_ending and now_ms >= lease.refresh_ms:
                self.asking[holding.bucket.id] = holding
        is_empty = not (holding.leases or holding.waiting or holding.unleased or holding.asked_sequence)
        # A debt outlives the wait for it: what a window gives pays it.
        kept_ms = max(_FORGET_MS, holding.bucket.window_ms if holding.debt else 0)
        if is_empty and now_ms - holding.last_used_ms >= kept_ms:
            self._forget(holding)
            return
        self._look_at(holding, max(now_ms + _SHORTEST_LOOK_MS, self._next_look_ms(holding, now_ms, is_idle=is_idle)))

    def _next_look_ms(self, holding: Holding, now_ms: int, *, is_idle: bool) -> int:
        if holding.bucket.kind is Kind.RATE and holding.current is not None:
            part = holding.current
            return part.refresh_ms if part.refresh_ms > now_ms else part.expires_ms
        idle_for_ms = IDLE_MS[holding.bucket.kind]
        idle_ms = now_ms + idle_for_ms if is_idle else holding.last_used_ms + idle_for_ms
        lease = holding.current
        if lease is None or lease.refresh_ms <= now_ms:
            return idle_ms
        return min(idle_ms, lease.refresh_ms)

    def _give_back(self, holding: Holding, lease: Lease) -> None:
        """What is idle, but for what running calls have reserved; a lease that is all of it ends."""
        if not lease.reserved:
            self.end(holding)
        elif lease.free > 0:
            lease.give_back()
            self.telling[holding.bucket.id] = holding

    def _forget(self, holding: Holding) -> None:
        bucket_id = holding.bucket.id
        for known in (self._by_id, self.asking, self.telling):
            known.pop(bucket_id, None)
