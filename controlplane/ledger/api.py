"""Handlers of UsageService and UsageRecordService, and of all services of the ledger together."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler, StreamHandler
from controlplane.db.engine import Database
from controlplane.errors import InvalidArgument, NotFound
from controlplane.ledger.checks.api import ledger_check_handlers
from controlplane.ledger.convert import InvalidEvent, request_uuid
from controlplane.ledger.letters.api import dead_letter_handlers
from controlplane.ledger.reading.checks import Clock
from controlplane.ledger.reading.export import CONTENT_TYPE, csv_header, csv_lines
from controlplane.ledger.reading.queries import Row
from controlplane.ledger.reading.render import RECORD_COLLECTION, total_row, usage_record, usage_row
from controlplane.ledger.reading.repository import UsageReader
from controlplane.ledger.reading.requests import MAX_ROWS, SumsPage, calls_page, sums_page
from controlplane.ledger.tap.api import ledger_replay_handlers
from controlplane.ledger.times import timestamp
from tollway.admin.v1.usage_pb2 import (
    ExportUsageRequest,
    GetUsageRecordRequest,
    ListUsageRecordsRequest,
    ListUsageRecordsResponse,
    QueryUsageRequest,
    QueryUsageResponse,
    UsageRecord,
    UsageRow,
)
from tollway.resources.violations import Violation

_ONE_SLOT = 2


def ledger_handlers(database: Database) -> dict[str, Handler | StreamHandler]:
    """Handlers by full method name."""
    api = LedgerApi(UsageReader(database), lambda: datetime.now(UTC))
    return {
        "tollway.admin.v1.UsageService/QueryUsage": api.query_usage,
        "tollway.admin.v1.UsageService/ExportUsage": api.export_usage,
        "tollway.admin.v1.UsageRecordService/GetUsageRecord": api.get_usage_record,
        "tollway.admin.v1.UsageRecordService/ListUsageRecords": api.list_usage_records,
        **dead_letter_handlers(database),
        **ledger_check_handlers(database),
        **ledger_replay_handlers(database),
    }


class LedgerApi:
    """Sums and single calls for admins; `now` gives aware UTC times."""

    def __init__(self, reader: UsageReader, now: Clock) -> None:
        self._reader = reader
        self._now = now

    async def query_usage(self, principal: AdminPrincipal, message: Message) -> QueryUsageResponse:
        """Raises InvalidArgument, FailedPrecondition when it takes too long, Unavailable."""
        request = cast(QueryUsageRequest, message)
        page = sums_page(request, self._now)
        sums = await self._reader.read_sums(page.query, with_total=not request.page_token)
        shown = sums.rows[: page.size]
        total = None if sums.total is None else total_row(sums.total, page)
        return QueryUsageResponse(
            rows=_rows(shown, page, total),
            next_page_token=page.token_after(shown[-1]) if len(sums.rows) > page.size else "",
            total=total,
            start_time=timestamp(page.query.start),
            end_time=timestamp(page.query.end),
        )

    async def export_usage(self, principal: AdminPrincipal, message: Message) -> AsyncGenerator[HttpBody, None]:
        """CSV in parts, each a page of its own; raises as query_usage does."""
        request = cast(ExportUsageRequest, message)
        if request.max_rows < 0:
            raise InvalidArgument([Violation("max_rows", "must not be negative")])
        asked = _as_query(request)
        page = sums_page(asked, self._now)
        group_by, latencies, left = page.query.group_by, page.query.latencies, request.max_rows or None
        first = csv_header(group_by, latencies=bool(latencies))
        while True:
            size = MAX_ROWS if left is None else min(left, MAX_ROWS)
            page = replace(page, query=replace(page.query, limit=size + 1), size=size)
            rows = (await self._reader.read_sums(page.query, with_total=False)).rows
            shown = [usage_row(row, page) for row in rows[:size]]
            lines = csv_lines(shown, group_by, page.zone, latencies=bool(latencies))
            yield HttpBody(content_type=CONTENT_TYPE, data=first + lines)
            left = None if left is None else left - len(shown)
            if len(rows) <= size or left == 0:
                return
            first = b""
            asked.page_token = page.token_after(rows[size - 1])
            page = sums_page(asked, self._now)

    async def list_usage_records(self, principal: AdminPrincipal, message: Message) -> ListUsageRecordsResponse:
        """Raises InvalidArgument, FailedPrecondition when it takes too long, Unavailable."""
        page = calls_page(cast(ListUsageRecordsRequest, message), self._now)
        calls = await self._reader.read_calls(page.query)
        shown = calls[: page.size]
        return ListUsageRecordsResponse(
            usage_records=[usage_record(entries) for entries in shown],
            next_page_token=page.token_after(shown[-1][0]["request_id"]) if len(calls) > page.size else "",
        )

    async def get_usage_record(self, principal: AdminPrincipal, message: Message) -> UsageRecord:
        """Raises InvalidArgument, NotFound, Unavailable."""
        name = cast(GetUsageRecordRequest, message).name
        collection, _, request_id = name.rpartition("/")
        try:
            identity = request_uuid(request_id)
        except InvalidEvent:
            identity = None
        if identity is None or collection != RECORD_COLLECTION:
            text = f'must be {RECORD_COLLECTION}/ and a request id: "req_" and 32 hex digits, as x-request-id shows it'
            raise InvalidArgument([Violation("name", text)])
        entries = await self._reader.read_call(identity)
        if not entries:
            text = f"{name} is not in the ledger; a call shows up seconds after it ends"
            raise NotFound(text, resource=name)
        return usage_record(entries)


def _rows(shown: Sequence[Row], page: SumsPage, total: UsageRow | None) -> list[UsageRow]:
    """One row of zeros where a sum over everything has found nothing."""
    if not shown and total is not None and not page.query.group_by and len(page.query.boundaries) == _ONE_SLOT:
        return [total]
    return [usage_row(row, page) for row in shown]


def _as_query(request: ExportUsageRequest) -> QueryUsageRequest:
    asked = QueryUsageRequest(
        group_by=request.group_by,
        filter=request.filter,
        interval=request.interval,
        time_zone=request.time_zone,
        period=request.period,
        order_by=request.order_by,
        latencies=request.latencies,
    )
    for field in ("start_time", "end_time"):
        if request.HasField(field):
            getattr(asked, field).CopyFrom(getattr(request, field))
    return asked
