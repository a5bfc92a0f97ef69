"""Waiting for what will come true."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def wait_until(is_true: Callable[[], Awaitable[bool]], *, timeout_s: float, interval_s: float = 0.05) -> None:
    """Raises AssertionError when it has not come true in time."""
    end_s = time.monotonic() + timeout_s
    while not await is_true():
        assert time.monotonic() < end_s, f"did not come true within {timeout_s} s"
        await asyncio.sleep(interval_s)
