"""How long and how large leases of each kind of bucket are."""

from dataclasses import dataclass

from controlplane.quota.rows import Kind

SHARE_DIVISOR = 2
"""A holder gets at most this part of what is left, or of a rate's horizon, per active holder."""

SAFE_HORIZON_US = 2_000_000
REFUND_US = 60_000_000
"""For how long after the last grant of a rate's lease a part of it may come back."""

SUSPENSE_US = 15 * 60_000_000
"""For how long what a lost holder had is neither free nor spent; longer than a call and the retry of a spool last."""

EXPIRY_GRACE_US = 15_000_000
HOLDERS_US = 8_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in milliseconds; a refusal is remembered for a time between `deny_ms` and `deny_ms + deny_spread_ms`."""

    ttl_ms: int
    refresh_ms: int
    deny_ms: int = 0
    deny_spread_ms: int = 0


LIGHT_PART = 16
"""Of what a rate admits in a second, shared by its holders: what is less than that part may be held for longer."""

TERMS = {
    Kind.BUDGET: Terms(ttl_ms=60_000, refresh_ms=20_000, deny_ms=250, deny_spread_ms=750),
    Kind.RATE: Terms(ttl_ms=4_000, refresh_ms=1_000),
    Kind.SLOTS: Terms(ttl_ms=15_000, refresh_ms=5_000, deny_ms=100, deny_spread_ms=150),
}

LIGHT_TERMS = Terms(ttl_ms=24_000, refresh_ms=6_000)
"""Of leases of rates that hold next to nothing: renewing them every other second would cost more than it spares."""
