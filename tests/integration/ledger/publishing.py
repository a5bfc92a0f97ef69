"""A publisher that never gives up, as a data plane's is."""

import asyncio
import random
from collections.abc import Sequence

import nats
from nats.errors import Error as NatsError

from tollway.kernel.subjects import USAGE_STREAM, usage_subject

SUBJECT = usage_subject("test")


async def publish_all(url: str, messages: Sequence[bytes], *, pause_s: float = 0.0, copies: float = 0.0) -> None:
    """Until each message is acknowledged; a share `copies` of them is sent a second time."""
    client = None
    for message in [*messages, *(message for message in messages if random.random() < copies)]:
        while True:
            try:
                if client is None or not client.is_connected:
                    client = await nats.connect(url, allow_reconnect=False, connect_timeout=2)
                await client.jetstream(timeout=2).publish(SUBJECT, message, stream=USAGE_STREAM)
                break
            except (NatsError, OSError, TimeoutError):
                await asyncio.sleep(0.1)
        await asyncio.sleep(pause_s)
    if client is not None:
        await client.close()
