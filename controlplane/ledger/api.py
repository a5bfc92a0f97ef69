"""Handlers of UsageService and UsageRecordService, and of all services of the ledger together."""

from datetime import UTC, datetime
from typing import cast

from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.engine import Database
from controlplane.errors import InvalidArgument, NotFound
from controlplane.ledger.checks.api import ledger_check_handlers
from controlplane.ledger.convert import InvalidEvent, request_uuid
from controlplane.ledger.letters.api import dead_letter_handlers
from controlplane.ledger.reading.render import RECORD_COLLECTION, usage_record, usage_row
from controlplane.ledger.reading.repository import UsageReader
from controlplane.ledger.reading.requests import Clock, calls_page, sums_page
from controlplane.ledger.tap.api import ledger_replay_handlers
from tollway.admin.v1.usage_pb2 import (
    GetUsageRecordRequest,
    ListUsageRecordsRequest,
    ListUsageRecordsResponse,
    QueryUsageRequest,
    QueryUsageResponse,
    UsageRecord,
)
from tollway.resources.violations import Violation


def ledger_handlers(database: Database) -> dict[str, Handler]:
    """Handlers by full method name."""
    api = LedgerApi(UsageReader(database), lambda: datetime.now(UTC))
    return {
        "tollway.admin.v1.UsageService/QueryUsage": api.query_usage,
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
        page = sums_page(cast(QueryUsageRequest, message), self._now)
        rows = await self._reader.read_sums(page.query)
        shown = rows[: page.size]
        start = page.query.start
        return QueryUsageResponse(
            rows=[usage_row(row, page.query.group_by, row.get("slot", start)) for row in shown],
            next_page_token=page.token_after(shown[-1]) if len(rows) > page.size else "",
        )

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
