"""Buckets to test with."""

import uuid
from dataclasses import replace

from dataplane.limits.buckets import Bucket, Kind
from dataplane.limits.reservations import Reservation
from dataplane.rules import OnUnavailable


def bucket(rule: str = "budgets/b", kind: Kind = Kind.BUDGET, **fields: object) -> Bucket:
    made = Bucket(
        id=uuid.uuid5(uuid.NAMESPACE_OID, rule).bytes,
        rule=rule,
        generation="g",
        limit=0,
        per=(),
        values=(),
        kind=kind,
        unit="usd",
        amount=1_000,
        window_ms=60_000 if kind is Kind.RATE else 0,
        burst=1_000,
        is_enforced=True,
        on_unavailable=OnUnavailable.DENY,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


class Heard:
    """A listener that notes what it hears."""

    def __init__(self) -> None:
        self.resolved_reservations: list[Reservation] = []
        self.urges = 0

    def resolved(self, reservation: Reservation) -> None:
        self.resolved_reservations.append(reservation)

    def urged(self) -> None:
        self.urges += 1
