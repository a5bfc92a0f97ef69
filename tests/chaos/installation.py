"""An installation that somebody else runs, as a site: a stack of `tollctl up`, or whatever the flags describe."""

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.admin_api import AdminApi
from tests.chaos.evidence import LedgerReading
from tests.chaos.ledger import Scope, entries_from_records, read_database, read_time, reports_from_rows
from tests.chaos.load import Caller
from tests.chaos.mix import direct
from tests.chaos.site import Fault, ReadingFailed, Site
from tests.chaos.waiting import CampaignFailed, until

_WAITING = "tollway_usage_unacknowledged_events"
_STILL_S = 8.0
_KNOWN_WITHIN_S = 30.0
_STACK_FAULTS = ("dataplane", "consumer", "controlplane", "nats", "postgres")
_SIGSTOP_LONGEST_S = 3.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where an installation is.

    base_urls: of the data planes, without /v1. team: whose keys `keys` are; its usage is this campaign's alone.
    database_url: "" to read the ledger through the admin API alone. metrics_urls: of the data planes.
    """

    base_urls: Sequence[str]
    team: str
    keys: Sequence[str] = field(repr=False)
    admin: AdminApi
    truth_logs: Sequence[Path]
    upstream: str = "sim"
    database_url: str = field(default="", repr=False)
    metrics_urls: Sequence[str] = ()


async def open_installation(place: Place, faults: Sequence[Fault]) -> Site:
    """Raises CampaignFailed for a truth log that is not there, and ReadingFailed for a database that is not."""
    for log in place.truth_logs:
        if not log.is_file():
            raise CampaignFailed(f"{log} is not there: start the simulated provider with --truth-log {log}")
    stillness = _Stillness(place)
    since = await read_time(place.database_url) if place.database_url else datetime.now(UTC)
    scope = Scope([f"teams/{place.team}"], since)
    return Site(
        base_urls=lambda: place.base_urls,
        callers=[Caller(f"teams/{place.team}", key) for key in place.keys],
        kinds=direct(place.upstream),
        truth_logs=place.truth_logs,
        read_ledger=lambda: _read_ledger(place, scope),
        backlog=stillness.look,
        memory_kib=dict,
        faults=faults,
        versions={},
    )


async def open_stack(data_dir: Path, truth_log: Path, *, reads_database: bool = True) -> Site:
    """A running `tollctl up`, which starts again what is killed; a team and keys are made for the campaign."""
    info = _read_stack(data_dir)
    admin = AdminApi(info["admin_url"], info["admin_token"])
    team = f"chaos-{secrets.token_hex(3)}"
    await admin.call("POST", f"/v1/teams?team_id={team}", {})
    made = [await admin.call("POST", f"/v1/teams/{team}/keys?key_id=k{n}", {}) for n in range(2)]
    base_url = str(info["openai_base_url"]).removesuffix("/v1")
    place = Place(
        base_urls=[base_url],
        team=team,
        keys=[key["secret"] for key in made],
        admin=admin,
        truth_logs=[truth_log],
        database_url=info["database_url"] if reads_database else "",
        metrics_urls=[info["metrics_urls"]["dataplane"]],
    )
    await until(lambda: _knows(base_url, place.keys[-1]), _KNOWN_WITHIN_S, "the data plane to know the new keys")
    return await open_installation(place, _stack_faults(data_dir))


def command_fault(name: str, command: str) -> Fault:
    """A shell command that does harm and returns when it is mended, or will mend itself. Raises CampaignFailed."""

    async def strike(hold_s: float) -> None:
        environment = {**os.environ, "CHAOS_HOLD_S": f"{hold_s:.1f}"}
        process = await asyncio.create_subprocess_shell(command, env=environment)
        if (code := await process.wait()) != 0:
            raise CampaignFailed(f"the command of fault {name} ended with exit code {code}: {command}")

    return Fault(name, strike)


class _Stillness:
    """What is on its way, by the data planes' metrics; without these the ledger must have been still for a while."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._sums: Mapping[Any, Any] = {}
        self._since_s = 0.0

    async def look(self) -> str:
        for url in self._place.metrics_urls:
            waiting = await _sample(url, _WAITING)
            if waiting is None:
                return f"{url} does not answer"
            if waiting:
                return f"{waiting:g} events wait for the ledger, says {url}"
        return "" if self._place.metrics_urls else await self._look_at_sums()

    async def _look_at_sums(self) -> str:
        try:
            sums = reports_from_rows(await _usage_rows(self._place))
        except ReadingFailed as error:
            return str(error)
        if sums != self._sums or not self._since_s:
            self._sums, self._since_s = sums, time.monotonic()
        return "" if time.monotonic() - self._since_s > _STILL_S else "the ledger still changes"


async def _read_ledger(place: Place, scope: Scope) -> LedgerReading:
    reports = reports_from_rows(await _usage_rows(place))
    if not place.database_url:
        records = await place.admin.records(f"filter=team = %22{place.team}%22&page_size=500")
        return LedgerReading(entries_from_records(records), reports)
    return await read_database(place.database_url, scope, reports)


async def _usage_rows(place: Place) -> list[Any]:
    return await place.admin.usage_rows(f"group_by=team,model&filter=team = %22{place.team}%22&page_size=10000")


def _stack_faults(data_dir: Path) -> list[Fault]:
    kills = [Fault(f"kill {name}", _Signaller(data_dir, name, signal.SIGKILL)) for name in _STACK_FAULTS]
    # A Postgres that stands still holds its other processes up with it; a stack shows only the first one's id.
    paused = [name for name in _STACK_FAULTS if name != "postgres"]
    return kills + [Fault(f"pause {name}", _Signaller(data_dir, name, signal.SIGSTOP)) for name in paused]


@dataclass(frozen=True, slots=True)
class _Signaller:
    """Sends a signal to a service of a stack as it runs at that moment."""

    data_dir: Path
    name: str
    number: signal.Signals

    async def __call__(self, hold_s: float) -> None:
        pid = _read_stack(self.data_dir)["pids"][self.name]
        if pid is None:
            return
        try:
            os.kill(pid, self.number)
            if self.number is signal.SIGSTOP:
                await asyncio.sleep(min(hold_s, _SIGSTOP_LONGEST_S))
        except ProcessLookupError:
            return
        finally:
            if self.number is signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)


def _read_stack(data_dir: Path) -> Any:
    try:
        return json.loads((data_dir / "stack.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CampaignFailed(
            f"no stack runs on {data_dir}: start one with `tollctl up --data-dir {data_dir}`"
        ) from None


async def _knows(base_url: str, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}"}
    try:
        async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{base_url}/v1/models") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def _sample(url: str, name: str) -> float | None:
    """None when it is not there to be read."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return None
    found = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name} ")]
    return sum(found) if found else None
