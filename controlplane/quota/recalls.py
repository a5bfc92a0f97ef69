"""Which leases to ask back unasked. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator

from controlplane.quota.rows import BucketKey, BucketRow, BucketSpec, LeaseRow
from tollway.quota.v1.quota_pb2 import Recall


def recalls_of(
    leases: Iterable[LeaseRow],
    buckets: Iterable[BucketRow],
    spec_of_lease: Callable[[LeaseRow], BucketSpec | None],
    starved: Collection[BucketKey],
) -> Iterator[tuple[LeaseRow, Recall]]:
    """Of buckets that are starved, over their present cap, of a past window, or not in the configuration any more."""
    rows = {bucket.key: bucket for bucket in buckets}
    for lease in leases:
        bucket, spec = rows.get(lease.key), spec_of_lease(lease)
        if bucket is None:
            continue
        is_current = spec is not None and spec.key == lease.key
        is_over = spec is not None and bucket.spent + bucket.provisional + bucket.escrow > spec.cap
        if lease.key in starved or not is_current or is_over:
            yield lease, Recall(bucket_id=lease.key.bucket_id.bytes, lease_id=lease.lease_id.bytes, keep_at_most=0)
