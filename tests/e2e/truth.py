"""Calls that can be told apart in the provider's counts, in what clients saw and in the ledger."""

import asyncio
import random
import secrets
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg

from tests.e2e.stack import Stack, eventually
from tests.e2e.traffic import INPUT_NANO_USD, OUTPUT_NANO_USD, WORDS

_ENTRIES = """
SELECT client_request_id AS call, attempt, final, state, cost_nano_usd, input_tokens, output_tokens, error_code
FROM ledger_entry WHERE team = $1 AND adjusts IS NULL
"""
_SUMS = """
SELECT sum(requests)::bigint AS requests, sum(attempts)::bigint AS attempts, sum(input_tokens)::bigint AS input_tokens,
    sum(output_tokens)::bigint AS output_tokens, sum(cost_nano_usd)::bigint AS cost_nano_usd
FROM usage_rollup JOIN usage_group USING (group_id) WHERE span_s = 900 AND team = $1
"""
_ENTRY_SUMS = """
SELECT count(*) FILTER (WHERE final AND attempt > 0) AS requests, count(*) FILTER (WHERE attempt > 0) AS attempts,
    sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
    sum(cost_nano_usd)::bigint AS cost_nano_usd
FROM ledger_entry WHERE team = $1
"""
_REPORTED, _ESTIMATED, _PARTIAL = 1, 2, 3


@dataclass(slots=True)
class Seen:
    """What clients saw: calls that came to their good end, and those that did not."""

    good: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)


async def send_told_apart(stack: Stack, key: str, calls: int, *, seed: int, concurrency: int = 24) -> Seen:
    """Calls with one id each as the body's user and as x-request-id; none is tried again."""
    chance, seen, mark = random.Random(seed), Seen(), secrets.token_hex(4)
    pending = [f"{mark}-{number}" for number in range(calls)]
    url = str(stack.info["openai_base_url"]).removesuffix("/v1")

    async def work(session: aiohttp.ClientSession) -> None:
        while pending:
            call = pending.pop()
            (seen.good if await _is_good(session, key, call, _body(call, chance)) else seen.broken).add(call)

    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=60)) as session:
        await asyncio.gather(*(work(session) for _ in range(concurrency)))
    return seen


def _body(call: str, chance: random.Random) -> dict[str, Any]:
    words = " ".join(chance.choices(WORDS, k=chance.randint(1, 30)))
    model = chance.choice(["sim/echo", f"sim/lorem-{chance.randint(1, 60)}", "sim/slow-40", "sim/stream-200"])
    body = {"model": model, "messages": [{"role": "user", "content": words}], "user": call}
    return body | ({"stream": True} if model == "sim/stream-200" or chance.random() < 0.4 else {})


async def _is_good(session: aiohttp.ClientSession, key: str, call: str, body: dict[str, Any]) -> bool:
    headers = {"authorization": f"Bearer {key}", "x-request-id": call}
    try:
        async with session.post("/v1/chat/completions", json=body, headers=headers) as response:
            text = await response.text()
            return response.status == 200 and (not body.get("stream") or text.endswith("data: [DONE]\n\n"))
    except (aiohttp.ClientError, TimeoutError):
        await asyncio.sleep(0.3)
        return False


async def check_truth(stack: Stack, team: str, seen: Seen, within_s: float) -> None:
    """Asserts that the ledger comes to hold one line for each call that the provider saw, exact where it reported.

    Calls that broke off may be estimates; one that the provider never saw may have one, if it was about to go out.
    """
    verdicts: list[str] = []

    async def holds() -> bool:
        verdicts[:] = await _verdicts(stack, f"teams/{team}", seen)
        return not verdicts

    try:
        await eventually(holds, within_s, "the ledger to equal the truth", interval_s=0.3)
    except AssertionError:
        raise AssertionError("\n".join(verdicts[:20])) from None


async def _verdicts(stack: Stack, team: str, seen: Seen) -> list[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{stack.info['sim_url']}/stats") as response:
        truth = (await response.json())["by_user"]
    connection = await asyncpg.connect(stack.info["database_url"])
    try:
        rows = await connection.fetch(_ENTRIES, team)
        sums, entry_sums = await connection.fetchrow(_SUMS, team), await connection.fetchrow(_ENTRY_SUMS, team)
    finally:
        await connection.close()
    lines: dict[str, list[Any]] = {}
    for row in rows:
        lines.setdefault(row["call"], []).append(row)
    found = [problem for call in seen.good for problem in _exact(call, lines.get(call, []), truth.get(call))]
    found += [problem for call in seen.broken for problem in _accounted(call, lines.get(call, []), truth.get(call))]
    if dict(sums) != dict(entry_sums):
        found.append(f"L3 sums {dict(sums)} are not those of the entries {dict(entry_sums)}")
    return found


def _exact(call: str, lines: list[Any], truth: dict[str, int] | None) -> list[str]:
    if len(lines) != 1 or truth is None:
        return [f"L2 {call}: {len(lines)} lines of a call that ended well, truth {truth}"]
    tokens_in, tokens_out = truth["input_tokens"], truth["output_tokens"]
    expected = (_REPORTED, tokens_in, tokens_out, tokens_in * INPUT_NANO_USD + tokens_out * OUTPUT_NANO_USD)
    line = lines[0]
    got = (line["state"], line["input_tokens"], line["output_tokens"], line["cost_nano_usd"])
    return [] if got == expected and line["final"] else [f"L1 {call}: {got} is not {expected}"]


def _accounted(call: str, lines: list[Any], truth: dict[str, int] | None) -> list[str]:
    if truth is None:
        return [] if len(lines) <= 1 else [f"L2 {call}: {len(lines)} lines of a call that never went out"]
    if len(lines) != 1:
        return [f"L5 {call}: {len(lines)} lines of a call that the provider saw"]
    [line] = lines
    if line["state"] == _REPORTED:
        return _exact(call, lines, truth)
    is_sound = line["state"] in (_ESTIMATED, _PARTIAL) and line["cost_nano_usd"] > 0
    return [] if is_sound else [f"L5 {call}: state {line['state']} at {line['cost_nano_usd']} for {truth}"]
