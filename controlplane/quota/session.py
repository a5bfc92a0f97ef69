"""What is remembered of one stream: how its buckets are spelled, and the leases of rates. Pure.

Leases of rates live here and not in the database: they last seconds, and one that is forgotten admits less, never
more.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from controlplane.quota.rows import BucketName
from controlplane.quota.terms import REFUND_US
from tollway.kernel.rules import bucket_id
from tollway.quota.v1.quota_pb2 import Bucket

MAX_NAMES = 100_000
MAX_LIMITS = 64
MAX_VALUES = 16
MAX_TEXT = 1024
_ID_BYTES = 16


class InvalidMessage(ValueError):
    """A message that no data plane sends; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One process and the number of its stream."""

    node: str
    boot_id: int
    generation: int


@dataclass(frozen=True, slots=True)
class RateLease:
    """Units of a rate, in totals since the lease began; `granted_us` is the time of the last grant."""

    lease_id: uuid.UUID
    bucket_id: uuid.UUID
    granted: int
    returned: int
    granted_us: int


@dataclass(slots=True)
class SessionMemory:
    """`names` by bucket id, `rate_leases` by lease id."""

    names: dict[uuid.UUID, BucketName] = field(default_factory=dict)
    rate_leases: dict[uuid.UUID, RateLease] = field(default_factory=dict)
    forgotten_us: int = 0

    def learn(self, buckets: Iterable[Bucket]) -> None:
        """Notes how buckets are spelled; those that cannot be what they say stay unknown. Raises InvalidMessage.

        Of too many the oldest are forgotten: whoever asks for a bucket spells it.
        """
        for bucket in buckets:
            identity = read_id(bucket.bucket_id, "bucket_id")
            if bucket.rule and identity not in self.names:
                name = _read_name(identity, bucket)
                if name is not None:
                    self.names[identity] = name
        while len(self.names) > MAX_NAMES:
            del self.names[next(iter(self.names))]

    def keep(self, changed: Iterable[RateLease], ended: Iterable[uuid.UUID]) -> None:
        """Takes what a committed decision changed."""
        self.rate_leases.update((lease.lease_id, lease) for lease in changed)
        for lease_id in ended:
            self.rate_leases.pop(lease_id, None)

    def forget(self, now_us: int) -> None:
        """Drops, now and then, leases of rates of which nothing can come back any more."""
        if now_us - self.forgotten_us < REFUND_US:
            return
        self.forgotten_us = now_us
        self.rate_leases = {k: v for k, v in self.rate_leases.items() if now_us - v.granted_us <= REFUND_US}


def read_id(given: bytes, field_name: str) -> uuid.UUID:
    """Raises InvalidMessage."""
    if len(given) != _ID_BYTES:
        raise InvalidMessage(f"{field_name} must have {_ID_BYTES} bytes, has {len(given)}")
    return uuid.UUID(bytes=given)


def _read_name(identity: uuid.UUID, bucket: Bucket) -> BucketName | None:
    """None for what is no name of this bucket, or cannot be stored."""
    values = tuple(bucket.values)
    texts = (bucket.rule, bucket.generation, *values)
    if len(values) > MAX_VALUES or not 0 <= bucket.limit < MAX_LIMITS or any(len(text) > MAX_TEXT for text in texts):
        return None
    if (
        any("\0" in text for text in texts)
        or bucket_id(bucket.rule, bucket.generation, bucket.limit, values) != identity
    ):
        return None
    return BucketName(identity, bucket.rule, bucket.generation, bucket.limit, values)
