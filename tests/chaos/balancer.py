"""Sends calls only to data planes that say they are ready, as a load balancer in front of them does."""

import asyncio
import random
from collections.abc import Callable, Sequence

import aiohttp

_LOOK_INTERVAL_S = 0.2
_LOOK_TIMEOUT_S = 0.5
_PATIENCE_S = 30.0
_OK = 200


class Balancer:
    """`base_urls()` are those of all data planes, ready or not."""

    def __init__(self, base_urls: Callable[[], Sequence[str]], chance: random.Random) -> None:
        self._base_urls = base_urls
        self._chance = chance
        self._ready: list[str] = []
        self._changed = asyncio.Event()

    @property
    def ready(self) -> frozenset[str]:
        return frozenset(self._ready)

    async def run(self) -> None:
        """Looks again and again, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_LOOK_TIMEOUT_S)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            while True:
                urls = list(self._base_urls())
                answers = await asyncio.gather(*(_is_ready(session, url) for url in urls))
                self._ready = [url for url, is_ready in zip(urls, answers, strict=True) if is_ready]
                self._changed.set()
                await asyncio.sleep(_LOOK_INTERVAL_S)

    async def choose(self) -> str:
        """One that was ready at the last look; waits while there is none. Raises TimeoutError after half a minute."""
        async with asyncio.timeout(_PATIENCE_S):
            while not self._ready:
                self._changed.clear()
                await self._changed.wait()
        return self._chance.choice(self._ready)


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as response:
            return response.status == _OK
    except (aiohttp.ClientError, TimeoutError):
        return False
