"""Admin methods that read quota: budgets with their status, their buckets, and what limits would say to a call."""

import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.unit_of_work import ConfigStore
from controlplane.errors import InvalidArgument
from controlplane.prices.catalog import load_index
from controlplane.quota.reading.buckets import BudgetPeriod, Place
from controlplane.quota.reading.calls import PossibleTarget, described_call
from controlplane.quota.reading.repository import BucketRepository
from controlplane.quota.reading.rulebook import Hit, matching_rules, read_rules
from controlplane.quota.reading.statuses import current_period, status_of
from controlplane.quota.reading.verdicts import Situation, check_limit, is_allowed, specs_of
from controlplane.quota.rows import BucketKey, BucketSpec, Kind
from controlplane.quota.windows import Window
from controlplane.resources.convert import resource_to_message
from controlplane.resources.names import check_name, missing
from controlplane.resources.paging import make_page_token, page_limit, read_page_token
from tollway.admin.v1 import budgets_pb2 as admin
from tollway.admin.v1.limits_pb2 import CheckLimitsRequest, CheckLimitsResponse
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.usage import Usage
from tollway.resources.kinds import BUDGET
from tollway.resources.violations import Violation

_BUDGETS = "tollway.admin.v1.BudgetService"
_LIMITS = "tollway.admin.v1.LimitService"


def quota_reading_handlers(
    config: ConfigStore, buckets: BucketRepository, standard: Mapping[str, Handler]
) -> dict[str, Handler]:
    """Handlers by full method name; `standard` are the ones of resources, whose budgets have no status."""
    status = _BudgetReading(config, buckets, standard[f"{_BUDGETS}/GetBudget"], standard[f"{_BUDGETS}/ListBudgets"])
    return {
        f"{_BUDGETS}/GetBudget": status.get,
        f"{_BUDGETS}/ListBudgets": status.list_page,
        f"{_BUDGETS}/ListBudgetBuckets": status.list_buckets,
        f"{_LIMITS}/CheckLimits": LimitChecker(config, buckets).check,
    }


class _BudgetReading:
    def __init__(self, config: ConfigStore, buckets: BucketRepository, get: Handler, list_page: Handler) -> None:
        self._config = config
        self._buckets = buckets
        self._get = get
        self._list_page = list_page

    async def get(self, principal: AdminPrincipal, message: Message) -> Message:
        """Raises NotFound."""
        budget = cast(admin.Budget, await self._get(principal, message))
        await self._fill([budget])
        return budget

    async def list_page(self, principal: AdminPrincipal, message: Message) -> Message:
        page = cast(admin.ListBudgetsResponse, await self._list_page(principal, message))
        await self._fill(page.budgets)
        return page

    async def list_buckets(self, principal: AdminPrincipal, message: Message) -> Message:
        """Raises NotFound for the budget, InvalidArgument."""
        request = cast(admin.ListBudgetBucketsRequest, message)
        check_name(BUDGET, request.name)
        limit = page_limit(request.page_size)
        async with self._config.read() as view:
            row = await view.resources.find(request.name)
        if row is None:
            raise missing(BUDGET, request.name)
        period = current_period(cast(admin.Budget, resource_to_message(BUDGET, row)), self._config.now())
        list_name = f"{request.name}/buckets:{period.budget.generation}:{period.window.start_ms}"
        after = _read_place(read_page_token(list_name, request.page_token))
        found = await self._buckets.page(period, after, limit + 1)
        answer = admin.ListBudgetBucketsResponse(buckets=[status_of(period, each) for _, each in found[:limit]])
        if len(found) > limit:
            answer.next_page_token = make_page_token(list_name, _written_place(found[limit - 1][0]))
        return answer

    async def _fill(self, budgets: Sequence[admin.Budget]) -> None:
        periods = [current_period(budget, self._config.now()) for budget in budgets]
        fullest = await self._buckets.fullest(periods)
        for budget, period in zip(budgets, periods, strict=True):
            if budget.name in fullest:
                budget.status.CopyFrom(status_of(period, fullest[budget.name]))


class LimitChecker:
    """Tells what rules would say to a call; reserves nothing."""

    def __init__(self, config: ConfigStore, buckets: BucketRepository) -> None:
        self._config = config
        self._buckets = buckets

    async def check(self, principal: AdminPrincipal, message: Message) -> CheckLimitsResponse:
        """Raises NotFound for the key, InvalidArgument for a call that could not be made."""
        request = cast(CheckLimitsRequest, message)
        async with self._config.read() as view:
            call, targets = await described_call(view, request)
            hits = matching_rules(await read_rules(view), call, [target.upstream for target in targets])
            has_budget = any(hit.rule.form.HasField("budget") for hit in hits)
            prices = await load_index(view) if has_budget else PriceIndex()
        now_us = int(self._config.now().timestamp() * 1_000_000)
        wanted = [(hit, spec) for hit in hits for spec in specs_of(hit, now_us)]
        priced = frozenset(target.upstream for target in targets if _is_priced(prices, target, now_us // 1000))
        situation = await self._situation(wanted, priced)
        checked = [(hit, check_limit(hit, spec, situation)) for hit, spec in wanted]
        allowed = is_allowed(checked, {target.upstream for target in targets})
        return CheckLimitsResponse(limits=[limit for _, limit in checked], allowed=allowed)

    async def _situation(self, wanted: Sequence[tuple[Hit, BucketSpec]], priced: frozenset[str]) -> Situation:
        rates = await self._buckets.rates([spec.name.bucket_id for _, spec in wanted if spec.rate is not None])
        rows = await self._buckets.find([spec.key for _, spec in wanted if spec.rate is None])
        ledger: dict[BucketKey, int] = {}
        for hit, spec in wanted:
            if spec.kind is Kind.BUDGET and (spec.key not in rows or not rows[spec.key].seeded):
                period = _period(hit, spec)
                ledger[spec.key] = await self._buckets.spent(period, hit.values)
        return Situation(rows, rates, ledger, priced)


def _is_priced(prices: PriceIndex, target: PossibleTarget, time_ms: int) -> bool:
    price = prices.find(target.provider, target.model, time_ms)
    return price is not None and price.cost_nano_usd(Usage(input=1)) is not None


def _period(hit: Hit, spec: BucketSpec) -> BudgetPeriod:
    return BudgetPeriod(hit.rule.name, hit.rule.form.budget, Window(spec.window_start_ms, spec.window_end_ms))


def _written_place(place: Place) -> str:
    return f"{place.total}:{place.bucket_id}"


def _read_place(text: str) -> Place | None:
    """Raises InvalidArgument for a token that was tampered with."""
    if not text:
        return None
    total, _, bucket_id = text.partition(":")
    try:
        return Place(int(total), uuid.UUID(bucket_id))
    except ValueError:
        text = "is not a token of this list; start from its first page"
        raise InvalidArgument([Violation("page_token", text)]) from None
