"""What reports over a month ask for, and how long each takes."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.engine import Database
from controlplane.ledger.api import ledger_handlers
from tests.scale.entries import METADATA_KEY, Shape
from tollway.admin.v1.usage_pb2 import QueryUsageRequest, QueryUsageResponse

_METHOD = "tollway.admin.v1.UsageService/QueryUsage"
_DIMENSIONS = (
    "team",
    "user",
    "key",
    "model",
    "upstream",
    "upstream_model",
    "provider",
    "route",
    f"metadata.{METADATA_KEY}",
)
REPORTS: dict[str, dict[str, Any]] = {
    "total": {},
    **{dimension: {"group_by": [dimension]} for dimension in _DIMENSIONS},
    **{f"{dimension}, p95": {"group_by": [dimension], "latencies": True} for dimension in _DIMENSIONS},
    "top 20 keys by cost": {"group_by": ["key"], "order_by": "cost_usd desc", "page_size": 20},
    "top 20 keys by cost, p95": {"group_by": ["key"], "order_by": "cost_usd desc", "page_size": 20, "latencies": True},
    "team, day": {"group_by": ["team"], "interval": "1d"},
    "team, day in New York": {"group_by": ["team"], "interval": "1d", "time_zone": "America/New_York"},
    "model, day in Kolkata": {"group_by": ["model"], "interval": "1d", "time_zone": "Asia/Kolkata"},
    "team, hour": {"group_by": ["team"], "interval": "1h", "page_size": 10_000},
    "team and model": {"group_by": ["team", "model"]},
    "team and project": {"group_by": ["team", f"metadata.{METADATA_KEY}"]},
    "models of a team": {"group_by": ["model"], "filter": 'team = "t7"'},
    "models of a team, p95": {"group_by": ["model"], "filter": 'team = "t7"', "latencies": True},
    "end users of a day": {"group_by": ["end_user"], "days": 1},
}


@dataclass(frozen=True, slots=True)
class Timing:
    """The second of two runs: what is asked for often is in memory."""

    report: str
    rows: int
    first_s: float
    second_s: float


async def time_reports(database: Database, shape: Shape) -> AsyncIterator[Timing]:
    handler = cast(Handler, ledger_handlers(database)[_METHOD])
    for report, asked in REPORTS.items():
        fields = dict(asked)
        days = fields.pop("days", shape.days)
        start = datetime(shape.first.year, shape.first.month, shape.first.day, tzinfo=UTC)
        end_s = int(start.timestamp()) + days * 86_400
        request = QueryUsageRequest(
            start_time=Timestamp(seconds=int(start.timestamp())), end_time=Timestamp(seconds=end_s), **fields
        )
        taken_s, rows = [], 0
        for _ in range(2):
            begun_s = time.perf_counter()
            answer = cast(QueryUsageResponse, await handler(AdminPrincipal("admins/scale"), request))
            taken_s.append(time.perf_counter() - begun_s)
            rows = len(answer.rows)
        yield Timing(report, rows, *taken_s)
