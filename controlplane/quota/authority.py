"""Decides what one Update of a data plane is granted. Pure: `decide` is between a load and a store of rows.

Whoever calls it holds the locks of all buckets that are loaded, and answers the data plane only after what changed is
committed. Money and slots are in escrow (`escrow.py`): a bucket's `escrow` is what its leases have outstanding, and
nothing is granted beyond cap - spent - provisional - escrow (the escrow method, O'Neil 1986). Rates are in `rates.py`.

A holder gets `max(need, min(want, share) - has)`, where a share is what is left, or what a rate admits in two seconds,
over twice the number of active holders; when less than `need` is left, nothing.
"""

import uuid
from dataclasses import dataclass

from controlplane.quota.escrow import EscrowDesk
from controlplane.quota.rates import RateDesk
from controlplane.quota.rows import Kind
from controlplane.quota.session import RateLease, read_id
from controlplane.quota.situation import Situation, Specs, Wanted, Wish, read_amount
from controlplane.quota.workbook import Changes, Workbook
from tollway.quota.v1.quota_pb2 import GRANT_RESULT_UNKNOWN, Ask, Grant, LeaseResponse, Return, Update


@dataclass(frozen=True, slots=True)
class Decision:
    """What to store, then to remember (`SessionMemory.keep`), then to answer."""

    response: LeaseResponse
    changes: Changes
    rate_leases: tuple[RateLease, ...] = ()
    ended_rates: tuple[uuid.UUID, ...] = ()


def named_buckets(update: Update) -> set[uuid.UUID]:
    """The ids of all buckets that `update` speaks of. Raises InvalidMessage."""
    asked = {read_id(ask.bucket.bucket_id, "bucket_id") for ask in update.asks}
    return asked | {read_id(back.bucket_id, "bucket_id") for back in update.returns}


def wanted(update: Update, specs: Specs) -> Wanted:
    """What `decide` needs. Raises InvalidMessage."""
    asked = [specs.get(read_id(ask.bucket.bucket_id, "bucket_id")) for ask in update.asks]
    found = [spec for spec in asked if spec is not None]
    leases = [ask.lease_id for ask in update.asks if ask.lease_id] + [back.lease_id for back in update.returns]
    given_back = (specs.get(read_id(back.bucket_id, "bucket_id")) for back in update.returns)
    rates = [spec for spec in (*found, *given_back) if spec is not None and spec.kind is Kind.RATE]
    return Wanted(
        buckets=frozenset(spec.key for spec in found if spec.kind is not Kind.RATE),
        slots=frozenset(spec.key for spec in found if spec.kind is Kind.SLOTS),
        leases=frozenset(read_id(lease_id, "lease_id") for lease_id in leases),
        rates=frozenset(spec.name.bucket_id for spec in rates),
    )


def decide(update: Update, situation: Situation) -> Decision:
    """Answers `update` and says what that changes. Raises InvalidMessage."""
    book = Workbook(situation.rows)
    authority = _Authority(situation, book, EscrowDesk(situation, book), RateDesk(situation, book))
    asked = [read_id(ask.lease_id, "lease_id") for ask in update.asks if ask.lease_id]
    for back in update.returns:
        authority.take_back(back)
    authority.escrow.free_expired_slots(asked)
    grants = [authority.answer(ask) for ask in update.asks]
    recalls = list(authority.escrow.recalls(dict.fromkeys(asked)))
    response = LeaseResponse(ack_sequence=update.sequence, grants=grants, recalls=recalls)
    rates = authority.rates
    return Decision(response, book.changes(), tuple(rates.changed.values()), tuple(rates.ended))


@dataclass(frozen=True, slots=True)
class _Authority:
    situation: Situation
    book: Workbook
    escrow: EscrowDesk
    rates: RateDesk

    def take_back(self, back: Return) -> None:
        lease_id, bucket_id = read_id(back.lease_id, "lease_id"), read_id(back.bucket_id, "bucket_id")
        total = read_amount(back.returned_total, "returned_total")
        lease = self.book.lease(lease_id)
        if lease is not None:
            self.escrow.take_back(lease, bucket_id, total, back.final)
        else:
            self.rates.take_back(lease_id, bucket_id, total, back.final)

    def answer(self, ask: Ask) -> Grant:
        spec = self.situation.specs.get(read_id(ask.bucket.bucket_id, "bucket_id"))
        if spec is None:
            return Grant(bucket_id=ask.bucket.bucket_id, lease_id=ask.lease_id, result=GRANT_RESULT_UNKNOWN)
        if spec.rate is not None:
            return self.rates.answer(spec, spec.rate, Wish.of(ask))
        return self.escrow.answer(spec, Wish.of(ask))
