"""What admins see of rules: how full budgets are, and what limits would say to a call."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from controlplane.errors import InvalidArgument, NotFound
from controlplane.ledger.convert import entry_of
from controlplane.ledger.repository import LedgerRepository
from controlplane.quota.windows import window_at
from tests.fakes.usage_events import FakeDataPlane
from tests.integration.controlplane.admin import Admin, manifest
from tests.integration.controlplane.test_rules import BASE, apply, budget, machine_form, rate_limit
from tollway.admin.v1.budgets_pb2 import (
    Budget,
    BudgetStatus,
    GetBudgetRequest,
    ListBudgetBucketsRequest,
    ListBudgetBucketsResponse,
    ListBudgetsRequest,
    ListBudgetsResponse,
)
from tollway.admin.v1.limits_pb2 import CheckedLimit, CheckLimitsRequest, CheckLimitsResponse
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.rules import bucket_id

KEY = "teams/growth/keys/ci"
BUDGET, SLOTS = 1, 3
BUCKET = """
INSERT INTO quota_bucket (bucket_id, window_start_ms, kind, rule, generation, limit_index, dimension_values, cap,
    spent, escrow, provisional, prior, charged_cost_nano_usd, seed_time, seeds, starved_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, 0, 0, CASE WHEN $11 THEN now() END, 0, 0)
"""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is in a bucket, in nano-USD or slots."""

    spent: int = 0
    escrow: int = 0
    provisional: int = 0
    is_seeded: bool = True


async def put_bucket(url: str, form: machine.Resource, values: Sequence[str], amounts: Amounts, limit: int = 0) -> None:
    is_budget = form.HasField("budget")
    generation = form.budget.generation if is_budget else form.rate_limit.generation
    window_ms = window_at(form.budget.period, form.budget.time_zone, datetime.now(UTC)).start_ms if is_budget else 0
    identity = bucket_id(form.name, generation, limit, values)
    kind = BUDGET if is_budget else SLOTS
    held = (amounts.spent, amounts.escrow, amounts.provisional, amounts.is_seeded)
    await execute(url, BUCKET, identity, window_ms, kind, form.name, generation, limit, list(values), *held)


async def execute(url: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def book(admin: Admin, costs_nano_usd: Iterable[int], **fields: Any) -> None:
    """Usage of now, that no rule was charged for."""
    plane = FakeDataPlane(secrets.randbits(33))
    known = {"team": "teams/growth", "key": KEY, "requested_model": "fast-model"}
    events = [plane.event(**(known | fields | {"cost_nano_usd": cost})) for cost in costs_nano_usd]
    await LedgerRepository(admin.rooms.config.database).book([entry_of(event) for event in events], [])


async def get_budget(admin: Admin, name: str) -> Budget:
    return await admin.call("BudgetService/GetBudget", GetBudgetRequest(name=f"budgets/{name}"), Budget)


async def list_buckets(admin: Admin, name: str, page_size: int = 0, token: str = "") -> ListBudgetBucketsResponse:
    request = ListBudgetBucketsRequest(name=f"budgets/{name}", page_size=page_size, page_token=token)
    return await admin.call("BudgetService/ListBudgetBuckets", request, ListBudgetBucketsResponse)


async def check(admin: Admin, **fields: Any) -> CheckLimitsResponse:
    request = CheckLimitsRequest(**({"key": KEY, "model": "fast-model"} | fields))
    return await admin.call("LimitService/CheckLimits", request, CheckLimitsResponse)


def amounts_of(status: BudgetStatus) -> tuple[str, str, str, str]:
    return status.amount_usd, status.spent_usd, status.reserved_usd, status.remaining_usd


def said(limit: CheckedLimit) -> tuple[str, str, str, str, str, str]:
    return limit.rule, limit.unit, limit.used, limit.reserved, limit.remaining, limit.verdict


async def test_a_new_budget_shows_what_the_ledger_holds(admin: Admin) -> None:
    await apply(admin, *BASE, budget("all"), budget("other", match={"teams": ["search"]}), budget("keys", per=["key"]))
    empty = (await get_budget(admin, "all")).status
    assert amounts_of(empty) == ("5.00", "0.00", "0.00", "5.00")
    assert not (await get_budget(admin, "keys")).HasField("status")
    await book(admin, [1_000_000_000, 500_000_000])
    await book(admin, [7_000_000_000], team="teams/search", key="teams/search/keys/ci", user="teams/search")
    page = await admin.call("BudgetService/ListBudgets", ListBudgetsRequest(), ListBudgetsResponse)
    shown = {found.name: amounts_of(found.status) for found in page.budgets}
    assert shown == {
        "budgets/all": ("5.00", "8.50", "0.00", "0.00"),
        "budgets/keys": ("5.00", "7.00", "0.00", "0.00"),
        "budgets/other": ("5.00", "7.00", "0.00", "0.00"),
    }
    first = await list_buckets(admin, "keys", page_size=1)
    second = await list_buckets(admin, "keys", page_size=1, token=first.next_page_token)
    assert [dict(page.buckets[0].group) for page in (first, second)] == [{"key": "teams/search/keys/ci"}, {"key": KEY}]
    assert amounts_of(second.buckets[0]) == ("5.00", "1.50", "0.00", "3.50")
    assert second.next_page_token == ""


async def test_the_fullest_bucket_of_the_current_period_is_the_status(admin: Admin, config_url: str) -> None:
    spec = {"amount_usd": "10.00", "period": "day", "time_zone": "Asia/Kathmandu", "per": ["team", "metadata.env"]}
    await apply(admin, *BASE, budget("b", **spec))
    form = await machine_form(admin, "budgets/b")
    for values, amounts in {
        ("teams/a", "prod"): Amounts(2_000_000_000, 500_000_000),
        ("teams/b", ""): Amounts(1_000_000_000, 1_000_000_000, 1_000_000_000),
        ("teams/c", "dev"): Amounts(3_000_000_000),
        ("teams/d", "dev"): Amounts(9_000_000_000, is_seeded=False),
    }.items():
        await put_bucket(config_url, form, values, amounts)
    await execute(config_url, "UPDATE quota_bucket SET window_start_ms = 1, spent = 9e9 WHERE escrow = 5e8")
    status = (await get_budget(admin, "b")).status
    assert status.group["team"] in ("teams/b", "teams/c")
    assert amounts_of(status)[3] == "7.00"
    start, reset = status.start_time.ToDatetime(UTC), status.reset_time.ToDatetime(UTC)
    assert start <= datetime.now(UTC) < reset
    assert (start.hour, start.minute) == (18, 15)
    pages, token = [], ""
    for _ in range(2):
        page = await list_buckets(admin, "b", page_size=1, token=token)
        pages.append(page.buckets[0])
        token = page.next_page_token
    assert token == ""
    assert {each.group["team"]: amounts_of(each)[1:3] for each in pages} == {
        "teams/b": ("1.00", "2.00"),
        "teams/c": ("3.00", "0.00"),
    }


async def test_what_nobody_asked_for_yet_is_shown_beside_what_is_leased(admin: Admin, config_url: str) -> None:
    """A budget made in mid month: the ledger has one team beyond it, and another one has made its first call."""
    await apply(admin, *BASE, budget("b", per=["team"]))
    await book(admin, [7_000_000_000])
    form = await machine_form(admin, "budgets/b")
    await put_bucket(config_url, form, ["teams/search"], Amounts(1_000_000_000))
    pages = (await list_buckets(admin, "b")).buckets
    assert [(dict(each.group)["team"], amounts_of(each)[1]) for each in pages] == [
        ("teams/growth", "7.00"),
        ("teams/search", "1.00"),
    ]
    first = await list_buckets(admin, "b", page_size=1)
    second = await list_buckets(admin, "b", page_size=1, token=first.next_page_token)
    assert [dict(page.buckets[0].group)["team"] for page in (first, second)] == ["teams/growth", "teams/search"]
    assert second.next_page_token == ""


async def test_lists_of_buckets_refuse_what_they_cannot_answer(admin: Admin) -> None:
    with pytest.raises(NotFound):
        await list_buckets(admin, "none")
    await apply(admin, budget("a"), budget("b"))
    with pytest.raises(InvalidArgument, match="page_token"):
        await list_buckets(admin, "a", token="nonsense")


async def test_a_call_is_told_every_limit_that_it_falls_under(admin: Admin, config_url: str) -> None:
    limits = [
        {"unit": "requests", "amount": 60, "window": "60s", "burst": 10},
        {"unit": "concurrent", "amount": 3},
    ]
    await apply(
        admin,
        *BASE,
        manifest("RateLimit", "key", {"limits": limits, "per": ["key", "end_user"]}),
        manifest("RateLimit", "prod", {"limits": limits[:1], "match": {"metadata": {"env": ["prod"]}}}),
        rate_limit("elsewhere", {"teams": ["search"]}),
        budget("growth", match={"teams": ["growth"]}),
        budget("sim", match={"upstreams": ["sim"]}, per=["upstream"], mode="audit"),
    )
    await put_bucket(config_url, await machine_form(admin, "rateLimits/key"), [KEY, "ann"], Amounts(escrow=2), limit=1)
    await put_bucket(config_url, await machine_form(admin, "budgets/growth"), [], Amounts(1_000_000_000, 500_000_000))
    await put_bucket(config_url, await machine_form(admin, "budgets/sim"), ["sim"], Amounts(6_000_000_000))
    answer = await check(admin, end_user="ann", metadata={"env": "dev"})
    assert [said(limit) for limit in answer.limits] == [
        ("budgets/growth", "usd", "1.00", "0.50", "3.50", "pass"),
        ("budgets/sim", "usd", "6.00", "0.00", "0.00", "would_refuse"),
        ("rateLimits/key", "requests", "0", "0", "10", "pass"),
        ("rateLimits/key", "concurrent", "0", "2", "1", "pass"),
    ]
    assert answer.allowed
    assert dict(answer.limits[1].group) == {"upstream": "sim"}
    assert dict(answer.limits[2].group) == {"key": KEY, "end_user": "ann"}
    assert answer.limits[0].reason.startswith("3.50 of 5.00 USD are left, until 20")
    prod = await check(admin, metadata={"env": "prod"})
    assert "rateLimits/prod" in {limit.rule for limit in prod.limits}


async def test_a_model_without_a_price_is_refused_by_budgets_that_could_not_bound_it(admin: Admin) -> None:
    ceiling = [{"meter": name, "price_usd": "10"} for name in ("input", "output")]
    other = manifest("Upstream", "other", {"provider": "openai_compatible", "base_url": "http://127.0.0.1:9/v1"})
    rules = [budget("plain"), budget("bounded", ceiling_rates=ceiling), budget("audited", mode="audit")]
    await apply(admin, *BASE, other, *rules)
    answer = await check(admin, model="other/mine")
    assert {limit.rule: limit.verdict for limit in answer.limits} == {
        "budgets/plain": "refuse",
        "budgets/bounded": "pass",
        "budgets/audited": "pass",
    }
    assert not answer.allowed
    assert "no price is known" in next(limit.reason for limit in answer.limits if limit.verdict == "refuse")
    assert (await check(admin)).allowed


async def test_an_upstream_that_is_passed_over_leaves_the_call_allowed(admin: Admin, config_url: str) -> None:
    second = manifest("Upstream", "second", {"provider": "sim", "base_url": "http://127.0.0.1:9/v1"})
    targets = [{"upstream": name, "model": "echo"} for name in ("sim", "second")]
    slots = {"limits": [{"unit": "concurrent", "amount": 2}], "per": ["upstream"]}
    route = manifest("Route", "either", {"model": "either", "targets": targets})
    await apply(admin, *BASE, second, route, manifest("RateLimit", "each", slots))
    form = await machine_form(admin, "rateLimits/each")
    await put_bucket(config_url, form, ["sim"], Amounts(escrow=2))
    answer = await check(admin, model="either")
    assert sorted(limit.verdict for limit in answer.limits) == ["pass", "refuse"]
    assert answer.allowed
    await put_bucket(config_url, form, ["second"], Amounts(escrow=2))
    assert not (await check(admin, model="either")).allowed


async def test_a_limit_that_is_used_up_refuses_and_says_until_when(admin: Admin, config_url: str) -> None:
    slots = manifest("RateLimit", "slots", {"limits": [{"unit": "concurrent", "amount": 2}]})
    await apply(admin, *BASE, rate_limit("rpm"), slots, budget("b"))
    await book(admin, [5_000_000_000])
    form = await machine_form(admin, "rateLimits/rpm")
    identity = bucket_id(form.name, form.rate_limit.generation, 0, [])
    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    rate = "INSERT INTO quota_rate (bucket_id, tat_us, period_us, holders, earlier_holders) VALUES ($1, $2, 0, '{}', 0)"
    await execute(config_url, rate, identity, now_us + 90_000_000)
    await put_bucket(config_url, await machine_form(admin, "rateLimits/slots"), [], Amounts(escrow=2))
    answer = await check(admin)
    assert [said(limit) for limit in answer.limits] == [
        ("budgets/b", "usd", "5.00", "0.00", "0.00", "refuse"),
        ("rateLimits/rpm", "requests", "60", "0", "0", "refuse"),
        ("rateLimits/slots", "concurrent", "0", "2", "0", "refuse"),
    ]
    assert not answer.allowed
    budget_said, rate_said, slots_said = (limit.reason for limit in answer.limits)
    assert budget_said.startswith("0.00 of 5.00 USD are left, until ")
    assert rate_said.startswith("0 of 60 requests are left, for ") and rate_said.endswith(" s")
    assert slots_said == "0 of 2 calls at once are left; what is held for running calls may come free before"


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"key": "teams/growth/keys/none"}, NotFound, "does not exist"),
        ({"key": "ci"}, InvalidArgument, "teams/{team}/keys/{key}"),
        ({"model": ""}, InvalidArgument, "model: is required"),
        ({"model": "nothing"}, InvalidArgument, "nothing serves"),
        ({"model": "openai/gpt"}, InvalidArgument, "nothing serves"),
        ({"upstream": "other"}, InvalidArgument, "none that the model may go to: sim"),
        ({"metadata": {"a": "x" * 200}}, InvalidArgument, "at most 128"),
        ({"end_user": "x" * 200}, InvalidArgument, "x-tollway-user"),
    ],
)
async def test_a_call_that_could_not_be_made_is_refused(
    admin: Admin, fields: dict[str, Any], error: type[Exception], text: str
) -> None:
    await apply(admin, *BASE)
    with pytest.raises(error) as refused:
        await check(admin, **fields)
    assert text in str(refused.value)
    assert (await check(admin, model="sim/echo", upstream="upstreams/sim")).allowed
