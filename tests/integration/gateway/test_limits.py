"""Rules over the real pipeline, with leases over real gRPC from an authority in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from dataplane.call import Outcome
from dataplane.limits.client import LeaseSource, QuotaSettings
from dataplane.limits.desk import LeaseDesk
from dataplane.limits.stream import QuotaClient
from dataplane.rules import Admission, CompiledRule, Mode, OnUnavailable, Unit
from dataplane.snapshot import Secret, Target
from tests.fakes.gateway import FixedSource, RunningGateway, route, start_gateway, upstream
from tests.fakes.quota_server import QuotaServer
from tests.fakes.rules import USD, budget_rule, index_of, limit_rule
from tests.fakes.upstream import Script, ScriptedUpstream, json_script, sse_script
from tollway.kernel.price_index import PriceIndex

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ANSWER = {
    "id": "x",
    "model": "m-1",
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
CHAT = {"model": "both", "max_tokens": 100, "messages": [{"role": "user", "content": "hello there"}]}
COST = 10 * 1000 + 5 * 2000
"""Nano-USD of ANSWER at the prices of tests.fakes.gateway."""


@dataclass(slots=True)
class Scene:
    """A gateway under rules, its provider, and the authority that lends to it."""

    gateway: RunningGateway
    provider: ScriptedUpstream
    quota: QuotaServer
    leases: LeaseSource
    client: aiohttp.ClientSession

    async def call(self, **fields: Any) -> tuple[int, Any, dict[str, str]]:
        async with self.client.post("/v1/chat/completions", json={**CHAT, **fields}) as response:
            text = await response.text()
            body = json.loads(text) if response.content_type == "application/json" else text
            return response.status, body, {name.lower(): value for name, value in response.headers.items()}

    async def settled(self) -> Outcome:
        """The next call's outcome; nothing is reserved any more when no other call runs."""
        return await self.gateway.outcome()

    def reserved(self) -> int:
        return sum(holding.reserved + holding.unleased for holding in self.gateway.desk.table.holdings)


Open = Callable[..., Awaitable[Scene]]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens scenes: route `both` tries upstream a, then b; a connection to the authority unless `is_cut_off`."""
    closing: list[Any] = []

    async def open_scene(*rules: CompiledRule, is_cut_off: bool = False) -> Scene:
        context = _scene(rules, is_cut_off=is_cut_off)
        closing.append(context)
        return await context.__aenter__()

    yield open_scene
    for context in closing:
        await context.__aexit__(None, None, None)


@asynccontextmanager
async def _scene(rules: tuple[CompiledRule, ...], *, is_cut_off: bool) -> AsyncIterator[Scene]:
    provider, quota, desk = ScriptedUpstream(), QuotaServer(), LeaseDesk()
    await provider.start()
    await quota.start()
    a, b = (
        upstream("a", provider.script("a", json_script(ANSWER))),
        upstream("b", provider.script("b", json_script(ANSWER))),
    )
    both = route("both", Target(a, "m"), Target(b, "m"))
    gateway = await start_gateway([a, b], [both], limits=index_of(*rules), desk=desk)
    client = QuotaClient(Secret("plane-token"), "node-1", 7, "test")
    leases = LeaseSource(QuotaSettings((quota.address,), client), desk, gateway.source)
    running = asyncio.create_task(leases.run())
    if is_cut_off:
        await quota.stop()
    else:
        await until(lambda: bool(quota.hellos))
    headers = {"authorization": f"Bearer {gateway.key}"}
    async with aiohttp.ClientSession(gateway.url, headers=headers) as session:
        yield Scene(gateway, provider, quota, leases, session)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await gateway.stop()
    await provider.stop()
    await quota.stop()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_a_call_that_is_covered_asks_nobody_and_costs_no_turn_of_the_loop(opened: Open) -> None:
    scene = await opened(
        budget_rule("b", USD), limit_rule("r", Unit.REQUESTS, 1000), limit_rule("t", Unit.TOKENS, 10**6)
    )
    scene.quota.authority.default_cap = 10**9
    await scene.call()
    outcome = await scene.settled()
    holdings = list(scene.gateway.desk.table.holdings)
    assert len(holdings) == 3
    for holding in holdings:
        assert holding.current is not None
        holding.current.granted += 10**8
    told = len(scene.quota.updates)
    admission = scene.gateway.admission
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    admitted = admission.admit(outcome, scene.gateway.plan_of(outcome))
    with pytest.raises(StopIteration) as ended:
        admitted.send(None)
    assert not turns, "another task had its turn"
    assert len(scene.quota.updates) == told
    assert scene.reserved() > 0
    ended.value.value.end()
    assert scene.reserved() == 0


async def test_a_budget_is_charged_what_calls_cost(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD))
    scene.quota.authority.default_cap = USD
    assert (await scene.call())[0] == 200
    [attempt] = (await scene.settled()).attempts
    [charge] = attempt.charges
    [ask] = [ask for ask in scene.quota.authority.asks if ask.need][:1]
    assert (charge.amount_nano_usd, charge.bucket_id) == (COST, ask.bucket.bucket_id)
    assert charge.lease_id in scene.quota.authority.leases
    assert ask.need >= 100 * 2000, "the reserve is the most that the call can cost"
    assert scene.reserved() == 0
    assert scene.quota.tokens == ["Bearer plane-token"]


async def test_an_exhausted_budget_is_a_402_that_is_not_retried(opened: Open) -> None:
    scene = await opened(budget_rule("month", USD, per=("team",)))
    scene.quota.authority.default_cap = 0
    scene.quota.authority.resets_in_ms = 3_600_000
    status, body, headers = await scene.call()
    assert (status, body["error"]["code"]) == (402, "budget_exceeded")
    assert headers["x-should-retry"] == "false"
    assert 'budget "month" of team "a"' in body["error"]["message"]
    assert "resets at" in body["error"]["message"]
    outcome = await scene.settled()
    assert (outcome.attempts, outcome.error_code) == ([], "budget_exceeded")
    assert scene.provider.received == []


async def test_what_running_calls_hold_may_come_free(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD))
    scene.quota.authority.default_cap = 400_000
    scene.provider.script("a", Script(pieces=[b"{}"], hang=True))
    running = asyncio.create_task(scene.call())
    await until(lambda: scene.reserved() > 0)
    status, body, headers = await scene.call()
    assert (status, body["error"]["code"]) == (402, "budget_exceeded")
    assert (headers["x-should-retry"], headers["retry-after"]) == ("true", "1")
    running.cancel()


async def test_an_exceeded_rate_is_a_429_with_the_exact_wait(opened: Open) -> None:
    scene = await opened(limit_rule("rpm", Unit.REQUESTS, 1, per=("key",)))
    scene.quota.authority.default_cap, scene.quota.authority.deny_ms = 1, 1234
    assert (await scene.call())[0] == 200
    status, body, headers = await scene.call()
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
    assert headers["retry-after"] == "2"
    assert 1000 < int(headers["retry-after-ms"]) <= 1234
    assert 'rate limit "rpm" of key "a/k"' in body["error"]["message"]
    assert headers["x-ratelimit-limit-requests"] == "1"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] in ("1m0s", "60s")


async def test_answers_say_how_much_is_left(opened: Open) -> None:
    scene = await opened(limit_rule("r", Unit.REQUESTS, 1000), limit_rule("t", Unit.TOKENS, 10**6))
    scene.quota.authority.default_cap = 500
    _, _, headers = await scene.call()
    assert headers["x-ratelimit-limit-requests"] == "1000"
    assert headers["x-ratelimit-limit-tokens"] == "1000000"
    assert {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"} <= headers.keys()


async def test_a_call_that_is_larger_than_the_limit_is_a_400(opened: Open) -> None:
    scene = await opened(limit_rule("t", Unit.TOKENS, 5))
    status, body, _ = await scene.call()
    assert (status, body["error"]["code"]) == (400, "limit_too_small")


async def test_calls_of_unknown_price_need_a_ceiling(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD))
    current = scene.gateway.source.current
    assert current is not None
    price = current.prices.prices[0]
    set_prices(scene.gateway.source, PriceIndex())
    status, body, headers = await scene.call()
    assert (status, body["error"]["code"], headers["x-should-retry"]) == (402, "price_unknown", "false")
    assert (await scene.settled()).attempts == []
    scene = await opened(budget_rule("b", USD, ceiling=price))
    scene.quota.authority.default_cap = USD
    set_prices(scene.gateway.source, PriceIndex())
    assert (await scene.call())[0] == 200
    [attempt] = (await scene.settled()).attempts
    assert (attempt.state.word, attempt.charges[0].amount_nano_usd) == ("unpriced", COST)


def set_prices(source: FixedSource, prices: PriceIndex) -> None:
    from dataclasses import replace

    assert source.current is not None
    source.current = replace(source.current, prices=prices)


async def test_a_strict_budget_bounds_the_answer_where_the_client_does_not(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD))
    scene.quota.authority.default_cap = USD
    assert (await scene.call(max_tokens=None))[0] == 200
    assert scene.provider.received[0].body["max_completion_tokens"] == 4096
    assert (await scene.call(max_tokens=7))[0] == 200
    assert "max_completion_tokens" not in scene.provider.received[1].body


async def test_a_strict_budget_refuses_what_it_cannot_bound(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD))
    scene.quota.authority.default_cap = USD
    status, body, _ = await scene.call(max_tokens="100000")
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "unbounded_request", "max_tokens")
    assert scene.provider.received == []


async def test_what_past_calls_let_expect_refuses_nobody(opened: Open) -> None:
    """An unknown model is expected to answer in 256 tokens; what a client says itself counts."""
    scene = await opened(limit_rule("t", Unit.TOKENS, 200), budget_rule("b", 100_000, admission=Admission.EXPECTED))
    scene.quota.authority.default_cap = USD
    assert (await scene.call(max_tokens=None))[0] == 200
    assert (await scene.call(max_tokens=300))[0] == 400


async def test_an_expected_budget_changes_nothing_in_the_call(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD, admission=Admission.EXPECTED))
    scene.quota.authority.default_cap = USD
    assert (await scene.call(max_tokens=None))[0] == 200
    assert "max_completion_tokens" not in scene.provider.received[0].body


async def test_failed_attempts_are_charged_too_and_each_attempt_reserves_anew(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD))
    scene.quota.authority.default_cap = USD
    scene.provider.script("a", Script(pieces=[b"{"], cut=True))
    assert (await scene.call())[0] == 200
    first, second = (await scene.settled()).attempts
    assert first.state.word == "estimated"
    assert first.charges[0].amount_nano_usd > 100 * 2000, "what is not known counts at its bound"
    assert second.charges[0].amount_nano_usd == COST
    assert scene.reserved() == 0


async def test_a_target_whose_limit_is_used_up_is_passed_over(opened: Open) -> None:
    scene = await opened(limit_rule("u", Unit.REQUESTS, 1, per=("upstream",)))
    scene.quota.authority.default_cap = 1
    assert [(await scene.call())[0] for _ in range(3)] == [200, 200, 429]
    assert [received.path.split("/")[1] for received in scene.provider.received] == ["a", "b"]


@pytest.mark.parametrize(
    "script",
    [
        json_script(ANSWER),
        json_script({"error": {"message": "no"}}, 400),
        json_script({}, 500),
        Script(pieces=[b"{"], cut=True),
        sse_script({"choices": [{"delta": {"content": "x"}}]}, cut=True),
    ],
)
async def test_slots_come_back_however_a_call_ends(opened: Open, script: Script) -> None:
    scene = await opened(limit_rule("c", Unit.CONCURRENT, 1), limit_rule("u", Unit.CONCURRENT, 1, per=("upstream",)))
    scene.quota.authority.default_cap = 1
    scene.provider.script("a", script)
    scene.provider.script("b", script)
    await scene.call(stream=script.headers["content-type"] == "text/event-stream")
    await scene.settled()
    assert scene.reserved() == 0
    scene.provider.script("a", json_script(ANSWER))
    assert (await scene.call())[0] == 200


async def test_slots_come_back_when_the_client_leaves(opened: Open) -> None:
    scene = await opened(limit_rule("c", Unit.CONCURRENT, 1))
    scene.quota.authority.default_cap = 1
    scene.provider.script("a", Script(pieces=[b"{"], hang=True))
    running = asyncio.create_task(scene.call())
    await until(lambda: scene.reserved() == 1)
    assert (await scene.call())[0] == 429
    await scene.settled()
    running.cancel()
    await scene.settled()
    assert (scene.reserved(), scene.gateway.counts.running) == (0, 0)


async def test_a_client_that_leaves_while_it_waits_has_reserved_nothing(opened: Open) -> None:
    scene = await opened(limit_rule("r", Unit.REQUESTS, 100))
    scene.quota.is_silent = True
    running = asyncio.create_task(scene.call())
    await until(lambda: scene.gateway.desk.table.waiting == 1)
    running.cancel()
    assert (await scene.settled()).client_gone
    assert (scene.gateway.desk.table.waiting, scene.reserved()) == (0, 0)


async def test_audited_rules_let_calls_pass_and_tell(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD, mode=Mode.AUDIT))
    scene.quota.authority.default_cap = 0
    assert (await scene.call())[0] == 200
    outcome = await scene.settled()
    assert outcome.limits is not None
    assert outcome.limits.exceeded == ["budgets/b"]
    [charge] = outcome.attempts[0].charges
    assert (charge.lease_id, charge.amount_nano_usd) == (b"", COST)


@pytest.mark.parametrize(
    ("rule", "statuses"),
    [
        (budget_rule("b", USD), [503, 503]),
        (budget_rule("b", USD, on_unavailable=OnUnavailable.ALLOW), [200, 200]),
        (limit_rule("r", Unit.REQUESTS, 1), [200, 429]),
        (limit_rule("r", Unit.REQUESTS, 1, on_unavailable=OnUnavailable.DENY), [503, 503]),
        (limit_rule("r", Unit.REQUESTS, 1, on_unavailable=OnUnavailable.ALLOW), [200, 200]),
        (limit_rule("c", Unit.CONCURRENT, 1), [200, 200]),
    ],
)
async def test_rules_say_what_becomes_of_calls_without_a_control_plane(
    opened: Open, rule: CompiledRule, statuses: list[int]
) -> None:
    scene = await opened(rule, is_cut_off=True)
    assert [(await scene.call())[0] for _ in statuses] == statuses


async def test_what_is_held_outlives_the_control_plane_and_is_told_again(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD))
    scene.quota.authority.default_cap = USD
    await scene.call()
    [holding] = scene.gateway.desk.table.holdings
    assert holding.current is not None
    holding.current.granted += USD // 2
    scene.quota.authority.leases[holding.current.id].granted += USD // 2
    address = scene.quota.address
    await scene.quota.stop()
    await until(lambda: not scene.gateway.desk.table.is_connected)
    assert [(await scene.call())[0] for _ in range(3)] == [200] * 3
    await scene.quota.start(address)
    await until(lambda: len(scene.quota.hellos) == 2)
    first, second = scene.quota.hellos
    assert second.generation > first.generation
    [held] = second.held
    assert (held.lease_id, held.granted_total) == (holding.current.id, holding.current.granted)


async def test_leases_go_back_at_the_end_and_when_their_rule_goes(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD), limit_rule("r", Unit.REQUESTS, 1000))
    scene.quota.authority.default_cap = USD
    await scene.call()
    await scene.settled()
    await scene.leases.give_back(5.0)
    parts = scene.quota.authority.leases.values()
    assert all(part.is_final for part in parts)
    assert sum(part.granted - part.returned for part in parts) == COST + 1


async def test_waits_are_bounded(opened: Open) -> None:
    scene = await opened(budget_rule("b", USD))
    scene.quota.is_silent = True
    began_s = asyncio.get_running_loop().time()
    status, body, headers = await scene.call()
    assert (status, body["error"]["code"]) == (503, "quota_unavailable")
    assert headers["retry-after"] == "1"
    assert 0.4 < asyncio.get_running_loop().time() - began_s < 3
