"""The admin REST API of the installation that a campaign works on."""

from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.site import ReadingFailed


@dataclass(frozen=True, slots=True)
class AdminApi:
    """The admin REST API of one control plane. Methods raise ReadingFailed when it does not answer with 200."""

    url: str
    token: str = field(repr=False)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.token}"}
        timeout = aiohttp.ClientTimeout(total=20)
        try:
            async with (
                aiohttp.ClientSession(self.url, headers=headers, timeout=timeout) as session,
                session.request(method, path, json=body) as response,
            ):
                answer = await response.json()
                if response.status != 200:
                    raise ReadingFailed(f"{method} {path.partition('?')[0]} answers {response.status} {answer}")
                return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ReadingFailed(f"the admin API does not answer: {type(error).__name__}") from None

    async def usage_rows(self, query: str) -> list[Any]:
        """All pages of GET /v1/usage."""
        return await self._pages(f"/v1/usage?{query}", "rows")

    async def records(self, query: str) -> list[Any]:
        """All pages of GET /v1/usageRecords."""
        return await self._pages(f"/v1/usageRecords?{query}", "usage_records")

    async def _pages(self, path: str, name: str) -> list[Any]:
        found: list[Any] = []
        token = ""
        while True:
            page = await self.call("GET", f"{path}&page_token={token}")
            found += page.get(name, [])
            token = page.get("next_page_token", "")
            if not token:
                return found
