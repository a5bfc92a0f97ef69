"""Re-rating as finance does it: tollctl against real control planes, one of which is killed in the middle."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from controlplane.db.engine import Database
from controlplane.ledger.convert import entry_of
from controlplane.ledger.repository import LedgerRepository
from tests.fakes.admin_api import run_tollctl
from tests.fakes.usage_events import FakeDataPlane
from tests.integration import few_prices
from tests.integration.controlplane_process.process import ADMIN_TOKEN, ControlPlaneProcess, Site, eventually
from tests.integration.ledger.rerating.ledger import NOON_US, fetch_row
from tollway.kernel.names import bare_id

ENTRIES = 15_000
_COUNTS = "SELECT count(*) AS n, count(DISTINCT adjusts) AS adjusted FROM ledger_entry WHERE adjusts IS NOT NULL"
BOOK = bare_id(few_prices.BOOK)
_RANGE = ("--from", "2026-11-21", "--to", "2026-11-22")


@pytest_asyncio.fixture
async def database(site: Site) -> AsyncIterator[Database]:
    database = Database(site.environ["TOLLWAY_DATABASE_URL"])
    yield database
    await database.close()


async def book(database: Database, count: int) -> None:
    """Calls that cost something else than the simulator's price says."""
    plane = FakeDataPlane(boot_id=1, start_time_us=NOON_US)
    for _ in range(0, count, 5_000):
        await LedgerRepository(database).book([entry_of(plane.event()) for _ in range(min(count, 5_000))], [])


async def tollctl(plane: ControlPlaneProcess, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"TOLLWAY_ADMIN_URL": f"http://{plane.admin}", "TOLLWAY_ADMIN_TOKEN": ADMIN_TOKEN}
    return await asyncio.to_thread(run_tollctl, *arguments, folder=folder, environ=environ)


async def run_of(plane: ControlPlaneProcess, name: str) -> dict[str, Any]:
    status, run = await plane.call("GET", f"/v1/{name}")
    assert status == 200, run
    assert isinstance(run, dict)
    return run


async def state_of(plane: ControlPlaneProcess, name: str) -> str:
    return str((await run_of(plane, name))["state"])


async def test_a_killed_control_plane_s_run_is_ended_by_another(site: Site, database: Database) -> None:
    await book(database, ENTRIES)
    first = await site.start()
    body = {"start_time": "2026-11-21T00:00:00Z", "end_time": "2026-11-22T00:00:00Z", "price_book": BOOK}
    _, created = await first.call("POST", "/v1/reratingRuns", body)
    name = created["name"]

    async def is_previewed() -> bool:
        return await state_of(first, name) == "previewed"

    async def is_under_way() -> bool:
        return bool((await run_of(first, name))["examined_entries"])

    await eventually(is_previewed, 60)
    await first.call("POST", f"/v1/{name}:post", {})
    await eventually(is_under_way, 30, interval_s=0.01)
    await first.stop(signal.SIGKILL)
    url = site.environ["TOLLWAY_DATABASE_URL"]
    half = await fetch_row(url, _COUNTS)
    assert 0 < half["n"] < ENTRIES

    second = await site.start()

    async def is_posted() -> bool:
        return await state_of(second, name) == "posted"

    await eventually(is_posted, 60)
    run = await run_of(second, name)
    assert run["posted"] == run["preview"] and run["posted"]["changed_entries"] == ENTRIES
    assert await fetch_row(url, _COUNTS) == {"n": ENTRIES, "adjusted": ENTRIES}


async def test_tollctl_shows_then_posts_and_a_second_time_finds_nothing(
    site: Site, database: Database, tmp_path: Path
) -> None:
    await book(database, 300)
    plane = await site.start()
    shown = await tollctl(plane, tmp_path, "prices", "rerate", *_RANGE, "--book", BOOK, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0][:3] == ["TEAM", "MODEL", "CHANGED"] and len(lines) == 5
    assert {tuple(line[:3]) for line in lines[1:4]} == {
        (team, "sim/echo", "100") for team in ("growth", "ops", "search")
    }
    assert lines[4][:2] == ["TOTAL", "300"] and "would change 300 of 300 entries" in shown.stderr
    assert (await fetch_row(site.environ["TOLLWAY_DATABASE_URL"], _COUNTS))["n"] == 0
    unasked = await tollctl(plane, tmp_path, "prices", "rerate", *_RANGE, "--book", BOOK)
    assert unasked.returncode == 1 and "confirm it with --yes" in unasked.stderr
    run = unasked.stderr.split("--run ")[1].split()[0]
    posted = await tollctl(plane, tmp_path, "prices", "rerate", "--run", run, "--yes", "-o", "json")
    found = json.loads(posted.stdout)
    assert (posted.returncode, found["run"]["state"], len(found["differences"])) == (0, "posted", 3), posted.stderr
    assert found["run"]["posted"]["difference_usd"] == lines[4][-1]
    again = await tollctl(plane, tmp_path, "prices", "rerate", *_RANGE, "--book", BOOK, "--yes")
    assert (again.returncode, again.stdout) == (0, "") and "nothing to post" in again.stderr
    assert (await fetch_row(site.environ["TOLLWAY_DATABASE_URL"], _COUNTS))["n"] == 300
