"""Mixed calls at a steady rate, each with an id of its own, and what became of them for their clients."""

import asyncio
import json
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.evidence import ClientEnding, Denial, Observation
from tollway.kernel.money import parse_usd

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "while", "nobody", "counts", "its", "words")
_TIMEOUT = aiohttp.ClientTimeout(total=90)
_STREAM_END = "data: [DONE]\n\n"
_LEAVE_AFTER_LINES = 8
_EMBED = "embed"
_OK = 200
_DETAIL_CHARACTERS = 200
_LIMIT_CODES = frozenset({"budget_exceeded", "rate_limit_exceeded", "quota_unavailable", "limit_too_small"})


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that calls are made with, and its team's resource name."""

    team: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of call. `weight` is its share; `model` may hold {n}, a number of words up to 60; None leaves it open
    whether it is a stream. A share of `leaving` of its clients go away within the stream.

    output_max: the limit on output tokens that its clients set; None for none.
    """

    weight: int
    model: str
    stream: bool | None = None
    leaving: float = 0.0
    output_max: int | None = None


class Load:
    """`rate_per_s` calls begin each second, spread over `callers`, until `finish`.

    choose_url() gives the base URL (without /v1) for the next call. What is sent is drawn from `chance` alone.
    `teams` has the team of every call that has begun, by its id.
    """

    def __init__(
        self,
        callers: Sequence[Caller],
        kinds: Sequence[Kind],
        chance: random.Random,
        choose_url: Callable[[], Awaitable[str]],
        *,
        rate_per_s: float,
    ) -> None:
        self.mark = f"chaos-{secrets.token_hex(4)}-"
        self._callers = callers
        self._kinds = kinds
        self._chance = chance
        self._choose_url = choose_url
        self._interval_s = 1 / rate_per_s
        self._finishing = asyncio.Event()
        self._number = 0
        self.observations: list[Observation] = []
        self.teams: dict[str, str] = {}

    @property
    def begun(self) -> int:
        """Calls that have begun."""
        return self._number

    async def run(self) -> None:
        """Until `finish` was called and the last call has ended."""
        clock = asyncio.get_running_loop()
        next_s = clock.time()
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
            asyncio.TaskGroup() as calls,
        ):
            while not self._finishing.is_set():
                calls.create_task(self._call(session))
                next_s = max(next_s + self._interval_s, clock.time() - 1.0)
                await self._pause(next_s - clock.time())

    def finish(self) -> None:
        self._finishing.set()

    async def call_once(self, kind: Kind, caller: Caller | None = None) -> Observation:
        """One call of that kind beside the others, of `caller` or of any."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
            return await self._call(session, kind, caller)

    async def _pause(self, duration_s: float) -> None:
        try:
            await asyncio.wait_for(self._finishing.wait(), max(0.0, duration_s))
        except TimeoutError:
            return

    async def _call(
        self, session: aiohttp.ClientSession, kind: Kind | None = None, caller: Caller | None = None
    ) -> Observation:
        self._number += 1
        call = f"{self.mark}{self._number}"
        kind = kind or self._chance.choices(self._kinds, [k.weight for k in self._kinds])[0]
        caller, body = caller or self._chance.choice(self._callers), self._body(call, kind)
        self.teams[call] = caller.team
        is_leaving = self._chance.random() < kind.leaving
        try:
            seen = await self._send(session, caller, body, is_leaving)
        except (aiohttp.ClientError, TimeoutError) as error:
            seen = Observation(call, caller.team, ClientEnding.BROKEN, detail=f"{type(error).__name__} {error}")
        self.observations.append(seen)
        return seen

    def _body(self, call: str, kind: Kind) -> dict[str, Any]:
        words = " ".join(self._chance.choices(WORDS, k=self._chance.randint(1, 30)))
        model = kind.model.format(n=self._chance.randint(1, 60))
        if model.endswith(f"/{_EMBED}"):
            return {"model": model, "input": words, "user": call}
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": words}], "user": call}
        is_stream = self._chance.random() < 0.5 if kind.stream is None else kind.stream
        limit = {} if kind.output_max is None else {"max_tokens": kind.output_max}
        return body | limit | ({"stream": True} if is_stream else {})

    async def _send(
        self, session: aiohttp.ClientSession, caller: Caller, body: dict[str, Any], is_leaving: bool
    ) -> Observation:
        """Raises aiohttp.ClientError or TimeoutError for what breaks off."""
        call, path = body["user"], "embeddings" if "input" in body else "chat/completions"
        headers = {"authorization": f"Bearer {caller.key}", "x-request-id": call}
        url = f"{await self._choose_url()}/v1/{path}"
        async with session.post(url, json=body, headers=headers) as response:
            if is_leaving and response.status == _OK and body.get("stream"):
                await _read_some(response)
                response.close()
                return Observation(call, caller.team, ClientEnding.LEFT, response.status)
            text = await response.text()
            return _observed(call, caller.team, response, text, is_stream=bool(body.get("stream")))


def read_denial(headers: Mapping[str, str], text: str) -> Denial | None:
    """What an error answer tells, if it is one of a limit."""
    try:
        code = json.loads(text)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None
    if code not in _LIMIT_CODES:
        return None
    told, after_ms = headers.get("x-should-retry"), headers.get("retry-after-ms")
    return Denial(code, None if told is None else told == "true", None if after_ms is None else int(after_ms))


async def _read_some(response: aiohttp.ClientResponse) -> None:
    for _ in range(_LEAVE_AFTER_LINES):
        if not await response.content.readline():
            return


def _observed(call: str, team: str, response: aiohttp.ClientResponse, text: str, *, is_stream: bool) -> Observation:
    if response.status != _OK:
        detail, denial = text[:_DETAIL_CHARACTERS], read_denial(response.headers, text)
        return Observation(call, team, ClientEnding.REFUSED, response.status, detail=detail, denial=denial)
    if is_stream and not text.endswith(_STREAM_END):
        return Observation(call, team, ClientEnding.BROKEN, response.status, detail=text[-_DETAIL_CHARACTERS:])
    told = response.headers.get("x-tollway-cost-usd")
    return Observation(call, team, ClientEnding.GOOD, response.status, None if told is None else parse_usd(told))
