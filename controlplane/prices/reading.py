"""Reading methods of price books."""

from collections.abc import Iterable

from controlplane.audit.filters import parse_filter
from controlplane.db.unit_of_work import ConfigStore, ReadView
from controlplane.errors import FailedPrecondition, InvalidArgument
from controlplane.prices.catalog import load_index
from controlplane.prices.diff import BookDiff, diff_books
from controlplane.prices.headers import PRICE_BOOK_KIND, check_book_name, missing_book, present_book, to_ms
from controlplane.prices.render import diff_summary, render_change, render_row
from controlplane.prices.resolve import resolve_price
from controlplane.prices.shelf import all_books, book_periods
from controlplane.prices.timeline import book_in_force
from controlplane.resources.paging import make_page_token, page_limit, read_page_token
from tollway.admin.v1.price_books_pb2 import (
    DiffPriceBookRequest,
    DiffPriceBookResponse,
    ListBookPricesRequest,
    ListBookPricesResponse,
    ListPriceBooksRequest,
    ListPriceBooksResponse,
    PriceBook,
    ResolvePriceRequest,
    ResolvePriceResponse,
)
from tollway.resources.providers import PROVIDERS, provider_names
from tollway.resources.violations import Violation

_FILTER_FIELDS = ("provider", "model")


class PriceBookReader:
    """Every method raises Unavailable when the database is away."""

    def __init__(self, config: ConfigStore) -> None:
        self._config = config

    async def get(self, name: str) -> PriceBook:
        """Raises NotFound."""
        full_name = check_book_name(name)
        async with self._config.read() as view:
            rows = await all_books(view.resources)
        row = next((row for row in rows if row.name == full_name), None)
        if row is None:
            raise missing_book(full_name)
        return present_book(row, book_periods(rows), self._config.now())

    async def list_books(self, request: ListPriceBooksRequest) -> ListPriceBooksResponse:
        limit = page_limit(request.page_size)
        after = read_page_token(PRICE_BOOK_KIND, request.page_token)
        async with self._config.read() as view:
            rows = await all_books(view.resources)
        periods, now = book_periods(rows), self._config.now()
        later = [row for row in rows if row.name > after]
        shown = [present_book(row, periods, now) for row in later[:limit]]
        for book in shown:
            del book.omissions[:]
        more = len(later) > limit
        token = make_page_token(PRICE_BOOK_KIND, later[limit - 1].name) if more else ""
        return ListPriceBooksResponse(price_books=shown, next_page_token=token)

    async def list_prices(self, request: ListBookPricesRequest) -> ListBookPricesResponse:
        """Raises NotFound for the book, InvalidArgument for a filter that cannot be read."""
        book, limit = check_book_name(request.parent, "parent"), page_limit(request.page_size)
        filters = parse_filter(request.filter, _FILTER_FIELDS)
        list_name = f"{book}:{sorted(filters.items())}"
        after = _number(read_page_token(list_name, request.page_token))
        async with self._config.read() as view:
            await _require(view, book)
            rows = await view.books.list_page(book, filters, after, limit + 1)
        more = len(rows) > limit
        return ListBookPricesResponse(
            prices=[render_row(book, row) for _, row in rows[:limit]],
            next_page_token=make_page_token(list_name, str(rows[limit - 1][0])) if more else "",
        )

    async def diff(self, request: DiffPriceBookRequest) -> DiffPriceBookResponse:
        """Raises NotFound for either book, FailedPrecondition when no book is in force to compare with."""
        name, limit = check_book_name(request.name), page_limit(request.page_size)
        list_name = f"{name}:diff:{request.base}"
        place = read_page_token(list_name, request.page_token).split("|") if request.page_token else []
        now_ms = to_ms(self._config.now())
        base, time_ms, first = (place[0], _number(place[1]), _number(place[2])) if len(place) == 3 else ("", now_ms, 0)
        async with self._config.read() as view:
            await _require(view, name)
            base = base or await _base(view, request.base, now_ms)
            rows = await view.books.rows_of([name, base])
        diff = diff_books(rows[base], rows[name], time_ms)
        end = first + limit
        token = make_page_token(list_name, f"{base}|{time_ms}|{end}") if end < len(diff.changes) else ""
        return _diff_page(base, diff, range(first, min(end, len(diff.changes))), token)

    async def resolve(self, request: ResolvePriceRequest) -> ResolvePriceResponse:
        """Raises InvalidArgument for a missing model and an unknown provider."""
        violations = []
        if not request.model:
            violations.append(Violation("model", "is required: the model as the upstream is sent it"))
        if request.provider and request.provider not in PROVIDERS:
            text = f'"{request.provider}" is not a known provider; known are {provider_names()}'
            violations.append(Violation("provider", text))
        if violations:
            raise InvalidArgument(violations)
        time_ms = request.time.ToMilliseconds() if request.HasField("time") else to_ms(self._config.now())
        async with self._config.read() as view:
            index = await load_index(view)
        asked = [request.provider] if request.provider else sorted(PROVIDERS)
        resolved = [resolve_price(index, provider, request.model, time_ms) for provider in asked]
        return ResolvePriceResponse(resolved_prices=[found for found in resolved if found.price or request.provider])


def _diff_page(base: str, diff: BookDiff, shown: Iterable[int], token: str) -> DiffPriceBookResponse:
    return DiffPriceBookResponse(
        lines=[render_change(diff.changes[at]) for at in shown],
        summary=diff_summary(base, diff),
        next_page_token=token,
    )


async def _base(view: ReadView, named: str, now_ms: int) -> str:
    if named:
        base = check_book_name(named, "base")
        await _require(view, base)
        return base
    base = book_in_force(book_periods(await all_books(view.resources)), now_ms)
    if not base:
        raise FailedPrecondition("no price book is in force to compare with; name one as base")
    return base


async def _require(view: ReadView, name: str) -> None:
    if await view.resources.find(name) is None:
        raise missing_book(name)


def _number(text: str) -> int:
    if text and not text.isdecimal():
        raise InvalidArgument([Violation("page_token", "is not a token of this list")])
    return int(text or 0)
