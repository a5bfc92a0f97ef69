"""Mixed calls of several teams, and the comparison of the ledger with what the simulated provider served."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.e2e.stack import Admin, AdminRefused, Stack, eventually
from tollway.kernel.money import parse_usd

INPUT_NANO_USD, OUTPUT_NANO_USD = 1000, 4000
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "nobody",
    "counts",
    "its",
    "words",
]


@dataclass(slots=True)
class Tally:
    """How calls ended, by status; status 0 stands for a connection that failed."""

    statuses: dict[int, int] = field(default_factory=dict)
    broken_streams: int = 0

    def add(self, status: int) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1

    @property
    def calls(self) -> int:
        return sum(self.statuses.values())


async def send_mixed(
    url: str, keys: dict[str, str], calls: int, *, seed: int, concurrency: int = 32, model: str = "sim"
) -> Tally:
    """`calls` calls, `concurrency` at a time, streams and not, of the teams in `keys`; the body's user is the team."""
    chance, tally, teams = random.Random(seed), Tally(), sorted(keys)
    pending = [_make_body(chance, teams, model) for _ in range(calls)]
    connector = aiohttp.TCPConnector(limit=concurrency)

    async def work(session: aiohttp.ClientSession) -> None:
        while pending:
            body = pending.pop()
            await _send(session, keys[body["user"]], body, tally)

    async with aiohttp.ClientSession(url, connector=connector) as session:
        await asyncio.gather(*(work(session) for _ in range(concurrency)))
    return tally


def _make_body(chance: random.Random, teams: list[str], model: str) -> dict[str, Any]:
    content = " ".join(chance.choices(WORDS, k=chance.randint(1, 30)))
    body: dict[str, Any] = {
        "model": f"{model}/{chance.choice(['echo', f'lorem-{chance.randint(1, 60)}'])}",
        "messages": [{"role": "user", "content": content}],
        "user": chance.choice(teams),
    }
    if chance.random() < 0.5:
        body["stream"] = True
        if chance.random() < 0.5:
            body["stream_options"] = {"include_usage": True}
    return body


async def _send(session: aiohttp.ClientSession, key: str, body: dict[str, Any], tally: Tally) -> None:
    try:
        headers = {"authorization": f"Bearer {key}"}
        async with session.post("/v1/chat/completions", json=body, headers=headers) as response:
            text = await response.text()
            tally.add(response.status)
            if body.get("stream") and response.status == 200 and not text.endswith("data: [DONE]\n\n"):
                tally.broken_streams += 1
    except aiohttp.ClientError:
        tally.add(0)


async def sim_stats(stack: Stack) -> dict[str, dict[str, int]]:
    """What the simulated provider served, by the body's user."""
    async with aiohttp.ClientSession() as session, session.get(f"{stack.info['sim_url']}/stats") as response:
        by_user: dict[str, dict[str, int]] = (await response.json())["by_user"]
        return by_user


async def ledger_equals_truth(stack: Stack, admin: Admin, teams: list[str], within_s: float) -> None:
    """Asserts that requests, tokens and cost of each team come to equal the provider's own counts, and stay so."""
    truth = {team: counts for team, counts in (await sim_stats(stack)).items() if team in teams}
    seen: dict[str, Any] = {}

    async def is_equal() -> bool:
        seen.clear()
        try:
            seen.update(await admin.usage_by_team())
        except AdminRefused as refused:
            assert refused.status == 503, refused
            return False
        except aiohttp.ClientError:
            return False
        return all(team in seen and _figures(seen[team]) == _expected(truth[team]) for team in teams)

    try:
        await eventually(is_equal, within_s, "the ledger to equal the truth", interval_s=0.2)
    except AssertionError:
        got = {team: _figures(seen[team]) if team in seen else None for team in teams}
        raise AssertionError(f"ledger {got} is not { ({team: _expected(truth[team]) for team in teams}) }") from None
    await asyncio.sleep(0.5)
    assert await is_equal()


def _figures(row: dict[str, Any]) -> tuple[int, int, int, int]:
    return row["requests"], row["input_tokens"], row["output_tokens"], parse_usd(row["cost_usd"])


def _expected(counts: dict[str, int]) -> tuple[int, int, int, int]:
    tokens_in, tokens_out = counts["input_tokens"], counts["output_tokens"]
    return counts["requests"], tokens_in, tokens_out, tokens_in * INPUT_NANO_USD + tokens_out * OUTPUT_NANO_USD
