"""Updates cut into responses of bounded size; pure."""

from collections.abc import Callable, Iterator

from controlplane.discovery.state import Update
from tollway.config.v1.discovery_pb2 import SubscribeResponse

MAX_PART_BYTES = 1_000_000


def cut_update(
    update: Update, make_nonce: Callable[[], str], max_bytes: int = MAX_PART_BYTES
) -> Iterator[SubscribeResponse]:
    """One response or more; a resource larger than `max_bytes` has a part of its own. Only the last says last_part."""
    part = _new_part(update, make_nonce)
    size = 0
    for resource in update.upserts:
        length = resource.ByteSize() + 8
        if size and size + length > max_bytes:
            yield part
            part, size = _new_part(update, make_nonce), 0
        part.upserts.append(resource)
        size += length
    for name in update.removals:
        length = len(name.encode()) + 4
        if size and size + length > max_bytes:
            yield part
            part, size = _new_part(update, make_nonce), 0
        part.removals.append(name)
        size += length
    part.last_part = True
    yield part


def _new_part(update: Update, make_nonce: Callable[[], str]) -> SubscribeResponse:
    return SubscribeResponse(nonce=make_nonce(), cursor=update.cursor, reset=update.reset)
