"""What is said on the lease stream, and what its answers change. Pure.

The law of the protocol is in proto/tollway/quota/v1/quota.proto. One ask per bucket is under way at a time; a lease
holds from the moment its ask was sent.
"""

from dataclasses import dataclass
from typing import Final

from dataplane.limits.buckets import Kind
from dataplane.limits.holding import Denied, Holding, Lease, Standing
from dataplane.limits.holdings import Holdings
from tollway.quota.v1 import quota_pb2 as wire

MAX_ITEMS: Final = 200
"""Asks and returns in one Update: the control plane books them in one transaction."""
_UNKNOWN_PAUSE_MS: Final = 50
_MOST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Sent:
    sent_ms: int
    asked: tuple[Holding, ...]
    final: tuple[tuple[Holding, Lease], ...]


class Exchange:
    """The process's side of the stream. `fleet` is how many data planes there were when it was last told."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._sequence = 0
        self._sent: dict[int, _Sent] = {}
        self.fleet = 1
        self.asks = 0

    @property
    def unanswered(self) -> int:
        """Updates that are under way."""
        return len(self._sent)

    @property
    def is_settled(self) -> bool:
        """Whether everything that was said is answered, and nothing more is to be given back."""
        return not (self._sent or self._holdings.telling)

    def open(self) -> list[wire.HeldLease]:
        """Begins a stream: what Hello lists. What was under way on the one before is said again."""
        self._sent.clear()
        held = []
        for holding in self._holdings:
            holding.asked_sequence = 0
            for lease in holding.leases:
                lease.is_final_told = False
                if holding.bucket.kind is not Kind.RATE:
                    held.append(_held(holding, lease))
                if lease.is_ending:
                    self._holdings.telling[holding.bucket.id] = holding
            if holding.waiting:
                self._holdings.asking[holding.bucket.id] = holding
        return held

    def next_update(self, now_ms: int) -> wire.Update | None:
        """What is to be said now; None when there is nothing."""
        returns, final = self._returns()
        asks, asked = self._asks(now_ms, MAX_ITEMS - len(returns))
        if not asks and not returns:
            return None
        self._sequence += 1
        self._sent[self._sequence] = _Sent(now_ms, tuple(asked), tuple(final))
        for holding in asked:
            holding.asked_sequence = self._sequence
        self.asks += len(asks)
        return wire.Update(sequence=self._sequence, asks=asks, returns=returns)

    def take(self, response: wire.LeaseResponse, now_ms: int) -> list[Holding]:
        """The holdings that an answer changed."""
        self.fleet = response.fleet or self.fleet
        sent = self._sent.pop(response.ack_sequence, None)
        changed: dict[bytes, Holding] = {}
        for grant in response.grants if sent is not None else ():
            holding = self._holdings.find(grant.bucket_id)
            if holding is not None and sent is not None:
                self._take_grant(holding, grant, sent.sent_ms, now_ms)
                changed[grant.bucket_id] = holding
        if sent is not None:
            self._end_sent(sent, changed)
        for recall in response.recalls:
            self._take_recall(recall)
        return list(changed.values())

    def _returns(self) -> tuple[list[wire.Return], list[tuple[Holding, Lease]]]:
        returns: list[wire.Return] = []
        final = []
        for bucket_id, holding in list(self._holdings.telling.items()):
            if len(returns) >= MAX_ITEMS:
                break
            del self._holdings.telling[bucket_id]
            for lease in holding.leases:
                # An ask that is under way may still add to the lease.
                is_over = lease.is_ending and not lease.reserved and not holding.asked_sequence
                is_final = is_over and not lease.is_final_told
                if is_final or lease.returned > lease.told_returned:
                    returns.append(_return(holding, lease, is_final=is_final))
                    lease.told_returned = lease.returned
                if is_final:
                    lease.is_final_told = True
                    final.append((holding, lease))
        return returns, final

    def _asks(self, now_ms: int, room: int) -> tuple[list[wire.Ask], list[Holding]]:
        asks: list[wire.Ask] = []
        asked: list[Holding] = []
        for bucket_id, holding in list(self._holdings.asking.items()):
            if len(asks) >= room:
                break
            if holding.asked_sequence or now_ms < holding.ask_from_ms:
                continue
            del self._holdings.asking[bucket_id]
            if holding.is_stale(now_ms):
                self._holdings.end(holding)
            is_wanted = holding.current is not None or holding.shortfall(now_ms) > 0
            if is_wanted and (not holding.is_retired or holding.waiting):
                asks.append(_ask(holding, now_ms))
                asked.append(holding)
        return asks, asked

    def _end_sent(self, sent: _Sent, changed: dict[bytes, Holding]) -> None:
        for holding in sent.asked:
            holding.asked_sequence = 0
            if holding.ending:
                self._holdings.telling[holding.bucket.id] = holding
            if holding.bucket.id not in changed and holding.waiting:
                self._holdings.asking[holding.bucket.id] = holding
        for holding, lease in sent.final:
            if lease in holding.ending:
                holding.ending.remove(lease)

    def _take_grant(self, holding: Holding, grant: wire.Grant, sent_ms: int, now_ms: int) -> None:
        if grant.result == wire.GRANT_RESULT_UNKNOWN:
            holding.ask_from_ms = now_ms + _UNKNOWN_PAUSE_MS
            if holding.waiting:
                self._holdings.asking[holding.bucket.id] = holding
            return
        holding.per_call = grant.per_call
        resets_ms = sent_ms + grant.resets_in_ms if grant.resets_in_ms else 0
        holding.standing = Standing(grant.limit, grant.remaining, resets_ms, now_ms, grant.window_start_ms)
        if grant.result == wire.GRANT_RESULT_EXHAUSTED:
            threshold = max(1, min(holding.asked_need, grant.remaining + 1))
            holding.denied = Denied(now_ms + max(1, grant.deny_ms), threshold, grant.is_reserved)
            holding.ask_from_ms = holding.denied.until_ms if grant.is_reserved else 0
        if grant.lease_id:
            self._add(holding, grant, sent_ms, now_ms)

    def _add(self, holding: Holding, grant: wire.Grant, sent_ms: int, now_ms: int) -> None:
        """Takes what a lease holds now. A new one ends the one before, as of another window or no longer known."""
        lease = holding.lends(grant.lease_id)
        if lease is None:
            if grant.result != wire.GRANT_RESULT_GRANTED:
                return
            self._holdings.end(holding)
            lease = holding.current = Lease(grant.lease_id, grant.window_start_ms, 0, 0)
        has_more = grant.granted_total > lease.granted
        if has_more:
            if holding.is_stale(now_ms):
                lease.give_back()
                self._holdings.telling[holding.bucket.id] = holding
            lease.granted = grant.granted_total
            holding.denied, holding.ask_from_ms = Denied(), 0
        if grant.ttl_ms:
            lease.expires_ms = max(lease.expires_ms, _end_ms(holding, grant, sent_ms))
            lease.refresh_ms = max(lease.refresh_ms, _refresh_ms(holding, grant, sent_ms))
        holding.pay_debt()
        if lease.is_ending:
            lease.give_back()
            self._holdings.telling[holding.bucket.id] = holding
        elif holding.is_retired:
            self._holdings.end(holding)
        else:
            self._holdings.granted(holding, lease)

    def _take_recall(self, recall: wire.Recall) -> None:
        holding = self._holdings.find(recall.bucket_id)
        lease = None if holding is None else holding.lends(recall.lease_id)
        if holding is not None and lease is not None:
            lease.give_back(recall.keep_at_most)
            self._holdings.telling[recall.bucket_id] = holding


def _end_ms(holding: Holding, grant: wire.Grant, sent_ms: int) -> int:
    """A lease of money ends with its window too, so that no call is charged to one that is over."""
    ends_in_ms = grant.ttl_ms
    if holding.bucket.kind is Kind.BUDGET and grant.resets_in_ms:
        ends_in_ms = min(ends_in_ms, grant.resets_in_ms)
    return sent_ms + ends_in_ms


def _refresh_ms(holding: Holding, grant: wire.Grant, sent_ms: int) -> int:
    """Parts of a rate are small and many: they are renewed towards their end, if they are in use then."""
    if holding.bucket.kind is Kind.RATE:
        return sent_ms + max(1, grant.ttl_ms - grant.refresh_ms)
    return sent_ms + grant.refresh_ms


def _ask(holding: Holding, now_ms: int) -> wire.Ask:
    need = wanted = 0
    balance = holding.balance(now_ms)
    if holding.waiting:
        need = min(_MOST, holding.shortfall(now_ms))
        wanted = sum(reservation.amount_of(holding) for reservation in holding.waiting) - balance
    current = holding.current
    holding.asked_need = need
    return wire.Ask(
        bucket=_bucket(holding),
        lease_id=b"" if current is None else current.id,
        need=need,
        want=min(_MOST, max(need, wanted, holding.wants(need, now_ms))),
        has=max(0, balance),
        reserved=holding.reserved,
    )


def _bucket(holding: Holding) -> wire.Bucket:
    bucket = holding.bucket
    return wire.Bucket(
        bucket_id=bucket.id, rule=bucket.rule, generation=bucket.generation, limit=bucket.limit, values=bucket.values
    )


def _held(holding: Holding, lease: Lease) -> wire.HeldLease:
    return wire.HeldLease(
        bucket=_bucket(holding),
        lease_id=lease.id,
        window_start_ms=lease.window_start_ms,
        granted_total=lease.granted,
        returned_total=lease.returned,
    )


def _return(holding: Holding, lease: Lease, *, is_final: bool) -> wire.Return:
    return wire.Return(bucket_id=holding.bucket.id, lease_id=lease.id, returned_total=lease.returned, final=is_final)
