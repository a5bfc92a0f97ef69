"""The usage methods, called as the transport does."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, cast

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.authz import AdminPrincipal, Handler, Handlers, StreamHandler
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

_USAGE = "tollway.admin.v1.UsageService"
_RECORDS = "tollway.admin.v1.UsageRecordService"
_PRINCIPAL = AdminPrincipal("admins/test")


def stamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message


class UsageAdmin:
    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def query(self, **fields: Any) -> QueryUsageResponse:
        return cast(QueryUsageResponse, await self._call(f"{_USAGE}/QueryUsage", QueryUsageRequest(**fields)))

    async def pages(self, **fields: Any) -> AsyncIterator[list[UsageRow]]:
        """The rows of every page, each page once."""
        token = ""
        while True:
            page = await self.query(**fields, page_token=token)
            yield list(page.rows)
            token = page.next_page_token
            if not token:
                return

    async def export(self, **fields: Any) -> str:
        handler = cast(StreamHandler, self._handlers[f"{_USAGE}/ExportUsage"])
        parts = handler(_PRINCIPAL, ExportUsageRequest(**fields))
        return b"".join([cast(HttpBody, part).data async for part in parts]).decode()

    async def get(self, name: str) -> UsageRecord:
        return cast(UsageRecord, await self._call(f"{_RECORDS}/GetUsageRecord", GetUsageRecordRequest(name=name)))

    async def list(self, **fields: Any) -> ListUsageRecordsResponse:
        message = await self._call(f"{_RECORDS}/ListUsageRecords", ListUsageRecordsRequest(**fields))
        return cast(ListUsageRecordsResponse, message)

    async def _call(self, method: str, request: Message) -> Message:
        return await cast(Handler, self._handlers[method])(_PRINCIPAL, request)
