"""Grants of rates: GCRA (`gcra.py`), in chunks that last seconds. Pure."""

import uuid
from dataclasses import dataclass, field, replace

from controlplane.quota import gcra
from controlplane.quota.gcra import Rate
from controlplane.quota.rows import BucketSpec, Kind, RateRow
from controlplane.quota.session import RateLease
from controlplane.quota.situation import Situation, Wish
from controlplane.quota.terms import (
    HOLDERS_US,
    LIGHT_PART,
    LIGHT_TERMS,
    REFUND_US,
    SAFE_HORIZON_US,
    SHARE_DIVISOR,
    TERMS,
    Terms,
)
from controlplane.quota.workbook import Workbook
from tollway.quota.v1.quota_pb2 import GRANT_RESULT_EXHAUSTED, GRANT_RESULT_GRANTED, Grant

_SECOND_US = 1_000_000


@dataclass(slots=True)
class RateDesk:
    """Serves the asks and returns of one Update that are about rates; `changed` and `ended` are for SessionMemory."""

    situation: Situation
    book: Workbook
    changed: dict[uuid.UUID, RateLease] = field(default_factory=dict)
    ended: list[uuid.UUID] = field(default_factory=list)

    def take_back(self, lease_id: uuid.UUID, bucket_id: uuid.UUID, total: int, is_final: bool) -> None:
        """Notes that `total` of a lease has come back; what comes late is no longer worth anything."""
        lease = self._lease(lease_id, bucket_id)
        if lease is None:
            return
        if is_final:
            self.ended.append(lease_id)
        units = min(total, lease.granted) - lease.returned
        if units <= 0:
            return
        self.changed[lease.lease_id] = replace(lease, returned=lease.returned + units)
        spec, row = self.situation.specs.get(bucket_id), self.book.rate(bucket_id)
        is_late = self.situation.now_us - lease.granted_us > REFUND_US
        if spec is None or spec.rate is None or row is None or is_late:
            return
        self.book.put_rate(replace(row, tat_us=gcra.give(spec.rate, row.tat_us, self.situation.now_us, units)))

    def answer(self, spec: BucketSpec, rate: Rate, wish: Wish) -> Grant:
        now_us = self.situation.now_us
        row = self._counted(self._row(spec, rate))
        holders = max(len(row.holders), row.earlier_holders, 1)
        share = rate.amount * SAFE_HORIZON_US // (rate.window_us * SHARE_DIVISOR * holders)
        amount = wish.amount(share, gcra.available(rate, row.tat_us, now_us))
        lease = None if wish.lease_id is None else self._lease(wish.lease_id, spec.name.bucket_id)
        if lease is None:
            lease = RateLease(self.situation.sources.new_id(), spec.name.bucket_id, 0, 0, now_us)
        is_refused = amount is None or (not amount and not lease.granted)
        if amount:
            tat_us = gcra.take(rate, row.tat_us, now_us, amount)
            assert tat_us is not None
            row = replace(row, tat_us=tat_us)
        if amount or lease.granted:
            lease = replace(lease, granted=lease.granted + (amount or 0), granted_us=now_us)
            self.changed[lease.lease_id] = lease
        self.book.put_rate(row)
        is_light = (wish.has + (amount or 0)) * rate.window_us * LIGHT_PART * holders <= rate.amount * _SECOND_US
        grant = self._grant(spec, rate, row, lease, LIGHT_TERMS if is_light else TERMS[Kind.RATE])
        grant.per_call = wish.is_small(share)
        if is_refused:
            grant.result = GRANT_RESULT_EXHAUSTED
            wait_us = gcra.wait_us(rate, row.tat_us, now_us, min(max(1, wish.need), rate.burst))
            grant.deny_ms = max(1, -(-wait_us // 1000))
        return grant

    def _grant(self, spec: BucketSpec, rate: Rate, row: RateRow, lease: RateLease, terms: Terms) -> Grant:
        now_us = self.situation.now_us
        return Grant(
            bucket_id=spec.name.bucket_id.bytes,
            lease_id=lease.lease_id.bytes if lease.granted else b"",
            result=GRANT_RESULT_GRANTED,
            granted_total=lease.granted,
            ttl_ms=terms.ttl_ms,
            refresh_ms=terms.refresh_ms,
            limit=spec.cap,
            remaining=gcra.available(rate, row.tat_us, now_us),
            resets_in_ms=max(0, -(-(row.tat_us - now_us) // 1000)),
        )

    def _lease(self, lease_id: uuid.UUID, bucket_id: uuid.UUID) -> RateLease | None:
        lease = self.changed.get(lease_id) or self.situation.memory.rate_leases.get(lease_id)
        if lease is None or lease.bucket_id != bucket_id or lease_id in self.ended:
            return None
        return lease

    def _row(self, spec: BucketSpec, rate: Rate) -> RateRow:
        row = self.book.rate(spec.name.bucket_id)
        if row is not None:
            return row
        since_us = self.situation.rows.rates_since_us
        return RateRow(spec.name.bucket_id, gcra.emptied_at(rate, since_us) if since_us else 0)

    def _counted(self, row: RateRow) -> RateRow:
        """`row` with this holder among those who asked lately."""
        boot_id, now_us = self.situation.holder.boot_id, self.situation.now_us
        age_us = now_us - row.period_us
        if not 0 <= age_us < HOLDERS_US:
            earlier = len(row.holders) if age_us < 2 * HOLDERS_US else 0
            return replace(row, period_us=now_us, holders=(boot_id,), earlier_holders=earlier)
        return row if boot_id in row.holders else replace(row, holders=(*row.holders, boot_id))
