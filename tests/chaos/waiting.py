"""Waits for conditions, each with a bound."""

import asyncio
from collections.abc import Awaitable, Callable

INTERVAL_S = 0.1


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
    """Until `holds()`. Raises CampaignFailed, which names `what`, after `timeout_s`."""
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while not await holds():
        if asyncio.get_running_loop().time() > deadline_s:
            raise CampaignFailed(f"waited {timeout_s:g} s for {what}")
        await asyncio.sleep(INTERVAL_S)


class CampaignFailed(Exception):
    """The campaign could not be carried out, which says nothing about the ledger; the text tells why."""
