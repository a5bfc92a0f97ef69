"""A control plane's quota authority in memory, as simple as the protocol allows: every bucket has a cap."""

from dataclasses import dataclass, field

from tollway.quota.v1 import quota_pb2 as wire


@dataclass(slots=True)
class HeldPart:
    """One lease, in totals."""

    bucket_id: bytes
    granted: int = 0
    returned: int = 0
    settled: int = 0
    is_final: bool = False

    @property
    def outstanding(self) -> int:
        return max(0, self.granted - self.returned - self.settled)


@dataclass(slots=True)
class FakeAuthority:
    """`caps` are by rule, `default_cap` is that of the others; `spent` by bucket id is what a test books.

    It grants what is needed, and what is wanted beyond that only where it `is_generous`.
    """

    default_cap: int = 1_000
    caps: dict[str, int] = field(default_factory=dict)
    spent: dict[bytes, int] = field(default_factory=dict)
    leases: dict[bytes, HeldPart] = field(default_factory=dict)
    unknown_rules: set[str] = field(default_factory=set)
    asks: list[wire.Ask] = field(default_factory=list)
    returns: list[wire.Return] = field(default_factory=list)
    is_generous: bool = False
    per_call: bool = False
    ttl_ms: int = 60_000
    refresh_ms: int = 20_000
    deny_ms: int = 300
    window_start_ms: int = 0
    resets_in_ms: int = 0

    def hello(self, held: list[wire.HeldLease]) -> None:
        """What was granted beyond what the holder has seen never arrived."""
        for lease in held:
            part = self.leases.setdefault(lease.lease_id, HeldPart(lease.bucket.bucket_id))
            part.granted = lease.granted_total
            part.returned = max(part.returned, lease.returned_total)
        seen = {lease.lease_id for lease in held}
        for lease_id, part in self.leases.items():
            if lease_id not in seen:
                part.returned = part.granted

    def available(self, rule: str, bucket_id: bytes) -> int:
        held = sum(part.outstanding for part in self.leases.values() if part.bucket_id == bucket_id)
        return self.caps.get(rule, self.default_cap) - self.spent.get(bucket_id, 0) - held

    def book(self, bucket_id: bytes, lease_id: bytes, amount: int) -> None:
        """What the ledger does with a charge."""
        self.spent[bucket_id] = self.spent.get(bucket_id, 0) + amount
        if lease_id in self.leases:
            self.leases[lease_id].settled += amount

    def answer(self, update: wire.Update) -> wire.LeaseResponse:
        for back in update.returns:
            self.returns.append(back)
            if back.lease_id in self.leases:
                part = self.leases[back.lease_id]
                part.returned = max(part.returned, back.returned_total)
                part.is_final |= back.final
        grants = [self._grant(ask) for ask in update.asks]
        return wire.LeaseResponse(ack_sequence=update.sequence, grants=grants)

    def _grant(self, ask: wire.Ask) -> wire.Grant:
        self.asks.append(ask)
        bucket = ask.bucket
        if bucket.rule in self.unknown_rules:
            return wire.Grant(bucket_id=bucket.bucket_id, result=wire.GRANT_RESULT_UNKNOWN)
        available = self.available(bucket.rule, bucket.bucket_id)
        wanted = max(ask.need, ask.want if self.is_generous else 0)
        amount = min(wanted, max(ask.need, available // 2), max(0, available))
        is_refused = amount < ask.need or (not amount and not ask.lease_id)
        lease_id = ask.lease_id if ask.lease_id in self.leases else len(self.leases).to_bytes(16, "big")
        grant = wire.Grant(
            bucket_id=bucket.bucket_id,
            result=wire.GRANT_RESULT_EXHAUSTED if is_refused else wire.GRANT_RESULT_GRANTED,
            ttl_ms=self.ttl_ms,
            refresh_ms=self.refresh_ms,
            per_call=self.per_call,
            limit=self.caps.get(bucket.rule, self.default_cap),
            remaining=max(0, available - (0 if is_refused else amount)),
            resets_in_ms=self.resets_in_ms,
            window_start_ms=self.window_start_ms,
            deny_ms=self.deny_ms if is_refused else 0,
            is_reserved=is_refused and self.spent.get(bucket.bucket_id, 0) + ask.need <= self.default_cap,
        )
        if not is_refused:
            part = self.leases.setdefault(lease_id, HeldPart(bucket.bucket_id))
            part.granted += amount
        if lease_id in self.leases:
            grant.lease_id, grant.granted_total = lease_id, self.leases[lease_id].granted
        return grant
