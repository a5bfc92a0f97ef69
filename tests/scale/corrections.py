"""A month corrected three times and with a day taken out of it: are its sums still what its entries add up to?"""

import time
from datetime import UTC, date, datetime, timedelta

from controlplane.db.engine import Database
from controlplane.ledger.checks.repository import DayCheckRepository
from controlplane.ledger.folding.folder import DayFolder
from controlplane.ledger.folding.repository import FoldRepository
from controlplane.ledger.retention.repository import RetentionRepository
from tests.integration.controlplane.admin import Admin, open_admin
from tests.integration.ledger.rerating.ledger import create, get, post, set_price, work
from tests.scale.entries import Shape
from tollway.resources.book import build_price_book

_DAY = timedelta(days=1)
_CORRECTIONS = (("m1", "2", "8"), ("m2", "3", "9"), ("m1", "0.50", "1"))
"""A model whose calls are rated anew, and what its input and output cost then, in USD per million tokens."""


async def correct_and_verify(url: str, shape: Shape) -> bool:
    """Prints what was done and found; whether no sum drifts."""
    async with open_admin(url) as admin:
        await admin.rooms.prepare()
        for model, input_usd, output_usd in _CORRECTIONS:
            await set_price(admin, model, input_usd, output_usd)
            await _rerate(admin, shape, model)
    patient, prompt = Database(url, statement_timeout_s=3_600), Database(url)
    try:
        assert await RetentionRepository(patient).detach(shape.first)
        print(f"detached {shape.first}")
        began_s = time.monotonic()
        later = datetime.now(UTC) + _DAY
        folded = await DayFolder(FoldRepository(patient), lambda: later).fold_all()
        print(f"{folded} days folded again in {time.monotonic() - began_s:.0f} s")
        return await _verify(prompt, shape)
    finally:
        await patient.close()
        await prompt.close()


async def _rerate(admin: Admin, shape: Shape, model: str) -> None:
    began_s = time.monotonic()
    book, only = build_price_book().name, f'model = "{model}"'
    run = await create(admin, _midnight_us(shape.first), _midnight_us(shape.end()), price_book=book, filter=only)
    await work(admin)
    await post(admin, run.name)
    await work(admin)
    done = await get(admin, run.name)
    changed, difference = done.posted.changed_entries, done.posted.difference_usd
    print(f"rated {model} anew: {changed:,} adjustments, {difference} USD, {time.monotonic() - began_s:.0f} s")
    assert changed


async def _verify(database: Database, shape: Shape) -> bool:
    began_s, entries, drifting, day = time.monotonic(), 0, 0, shape.first
    while day < shape.end():
        report = await DayCheckRepository(database).verify(day)
        entries, drifting = entries + report.entries, drifting + report.drifting_rows
        for drift in report.drifts[:5]:
            print(f"{day} {drift}")
        day += _DAY
    took_s = time.monotonic() - began_s
    print(f"{entries:,} entries of {shape.days} days verified in {took_s:.0f} s: {drifting} rows drift")
    return not drifting


def _midnight_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
