"""Which digests of a key are valid, before and after a rotation; pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from controlplane.keys.rows import StoredDigest

MAX_VALID_DIGESTS = 2


def valid_digests(digests: Sequence[StoredDigest], now: datetime) -> list[StoredDigest]:
    """Those that are accepted at `now`, in the order given."""
    return [row for row in digests if row.expire_time is None or row.expire_time > now]


def lasting_digest(digests: Sequence[StoredDigest]) -> bytes | None:
    """The digest that no rotation has put an end to."""
    return next((row.digest for row in digests if row.expire_time is None), None)


def rotated_digests(
    digests: Sequence[StoredDigest], digest: bytes, key_name: str, now: datetime, overlap: timedelta
) -> list[StoredDigest]:
    """`digest` for ever, and the one valid until now for `overlap` more; older ones end at once."""
    newest = StoredDigest(digest, key_name, now)
    kept: list[StoredDigest] = []
    for row in sorted(valid_digests(digests, now), key=lambda row: row.create_time, reverse=True):
        if row.digest == digest or not overlap:
            continue
        end = now + overlap
        kept.append(replace(row, expire_time=end if row.expire_time is None else min(row.expire_time, end)))
    return [newest, *kept[: MAX_VALID_DIGESTS - 1]]
