"""Closed months, and the sums of months, inside a transaction of the caller's."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import date, datetime

from sqlalchemy import BigInteger, Date, cast, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.ledger.periods.months import ClosedMonth, MonthSums, month_of, next_month, start_of
from controlplane.ledger.periods.tables import ledger_closed_month
from controlplane.ledger.tables import quarter_rollup


class PeriodStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def closed(self) -> dict[date, ClosedMonth]:
        """All closed months by their first days."""
        rows = await self._connection.execute(select(ledger_closed_month))
        return {row["month"]: ClosedMonth(**row) for row in rows.mappings()}

    async def close(self, month: ClosedMonth) -> None:
        await self._connection.execute(insert(ledger_closed_month).values(asdict(month)))

    async def first_month(self) -> date | None:
        """The month of the oldest usage; None while there is none."""
        slot = await self._connection.scalar(select(func.min(quarter_rollup.c.slot)))
        return None if slot is None else month_of(slot)

    async def sums(self, months: Collection[date]) -> dict[date, MonthSums]:
        """Sums of those of `months` that have usage, as they are now."""
        if not months:
            return {}
        columns = quarter_rollup.c
        month = cast(func.date_trunc("month", func.timezone("UTC", columns.slot)), Date)
        attempts, cost = (cast(func.sum(c), BigInteger) for c in (columns.attempts, columns.cost_nano_usd))
        statement = (
            select(month, attempts, cost)
            .where(columns.slot >= literal(start_of(min(months))), columns.slot < literal(_end_of(months)))
            .group_by(month)
        )
        rows = await self._connection.execute(statement)
        return {found: MonthSums(attempts, cost) for found, attempts, cost in rows if found in months}


def _end_of(months: Collection[date]) -> datetime:
    return start_of(next_month(max(months)))
