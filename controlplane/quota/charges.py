"""What usage takes from budgets, as values."""

import uuid
from typing import NamedTuple


class ChargeSum(NamedTuple):
    """The sum of what some entries charge to one lease of one bucket; without `lease_id` to the bucket alone.

    `cost_nano_usd` is the cost of those entries, each counted once for a bucket however many leases of it it charges.
    """

    bucket_id: uuid.UUID
    window_start_ms: int
    lease_id: uuid.UUID | None
    amount_nano_usd: int
    cost_nano_usd: int
