"""The product broken on purpose, one promise at a time: a campaign that stays green proves nothing."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.waiting import CampaignFailed

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("dataplane", "controlplane", "tollway", "tollctl", "migrations", "tests")
_VIOLATED = 1
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Change:
    """`old`, which must be in the file exactly once, becomes `new`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is broken, the scenario that must find it, and the invariants one of which must then be violated."""

    name: str
    scenario: str
    invariants: frozenset[str]
    changes: tuple[Change, ...]


MUTATIONS = (
    Mutation(
        "entries are inserted without ON CONFLICT",
        "T2",
        frozenset({"L1", "L2", "L3", "L5"}),
        (
            Change(
                "controlplane/ledger/repository.py",
                "    return statement.on_conflict_do_nothing()\n",
                "    return statement\n",
            ),
        ),
    ),
    Mutation(
        "messages are acknowledged before the commit",
        "T2",
        frozenset({"L1", "L2", "L5"}),
        (
            Change(
                "controlplane/ledger/consumer.py",
                "        async with _kept_alive(messages):\n",
                "        for message in messages:\n"
                "            await _try(message.ack)\n"
                "        async with _kept_alive(messages):\n",
            ),
        ),
    ),
    Mutation(
        "the spool is off",
        "T1",
        frozenset({"L1", "L2", "L5"}),
        (
            Change(
                "dataplane/metering/spool/journal.py",
                "    def _append(self, kind: RecordKind, payload: bytes, sequence: int) -> None:\n",
                "    def _append(self, kind: RecordKind, payload: bytes, sequence: int) -> None:\n"
                "        if kind is not RecordKind.MARK:\n"
                "            return\n",
            ),
        ),
    ),
    Mutation(
        "data planes are told that the ledger has what it has not committed",
        "T6",
        frozenset({"L1", "L2", "L5"}),
        (
            Change(
                "controlplane/discovery/acknowledgement.py",
                "        through = next((end for start, end in booked if start <= first <= end), first - 1)\n",
                "        through = published_through\n",
            ),
        ),
    ),
    Mutation(
        "leases are granted without the lock of their bucket",
        "T11",
        frozenset({"B1", "B2", "B3", "L4"}),
        (
            Change(
                "controlplane/quota/repository.py",
                ' ORDER BY b.bucket_id, b.window_start_ms FOR UPDATE OF b"\n',
                ' ORDER BY b.bucket_id, b.window_start_ms"\n',
            ),
        ),
    ),
    Mutation(
        "usage is settled twice in the ledger",
        "T11",
        frozenset({"B2", "B3", "L4"}),
        (
            Change(
                "controlplane/ledger/repository.py",
                "                await settle_staged(connection, makes_buckets=True)\n        return inserted\n",
                "                await settle_staged(connection, makes_buckets=True)\n"
                "                await settle_staged(connection, makes_buckets=True)\n"
                "        return inserted\n",
            ),
        ),
    ),
    Mutation(
        "calls settle their reservations twice in the data plane",
        "T11",
        frozenset({"B1", "L4"}),
        (
            Change(
                "dataplane/limits/holding.py",
                "        lease.reserved -= reserved\n",
                "        lease.reserved -= 2 * reserved\n",
            ),
        ),
    ),
    Mutation(
        "streams that hang are not fenced",
        "T10",
        frozenset({"B1", "B2", "L4", "Q2"}),
        (
            Change(
                "controlplane/quota/sessions/repository.py",
                "    if row is None or row.generation != holder.generation:\n",
                "    if row is None:\n",
            ),
        ),
    ),
)


async def run_mutations(seed: int, scenarios: Collection[str] = ()) -> bool:
    """Whether the campaign found each, or each that one of `scenarios` must find; prints how.

    Raises CampaignFailed when one cannot be tried.
    """
    chosen = [mutation for mutation in MUTATIONS if not scenarios or mutation.scenario in scenarios]
    return all([await _is_found(mutation, seed) for mutation in chosen])


def apply_changes(root: Path, changes: Sequence[Change]) -> None:
    """Raises CampaignFailed for a change that does not fit the source any more."""
    for change in changes:
        path = root / change.path
        source = path.read_text(encoding="utf-8")
        if source.count(change.old) != 1:
            raise CampaignFailed(
                f"a mutation does not fit {change.path} any more: {change.old.strip()!r} is there "
                f"{source.count(change.old)} times; mend tests/chaos/mutations.py"
            )
        path.write_text(source.replace(change.old, change.new), encoding="utf-8")


async def _is_found(mutation: Mutation, seed: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="tollway-mutation-") as folder:
        root = Path(folder)
        _copy_sources(root)
        apply_changes(root, mutation.changes)
        code, report = await _run(root, mutation.scenario, seed)
    violated = [verdict for run in report["runs"] for verdict in run["verdicts"] if not verdict["holds"]]
    names = {verdict["invariant"] for verdict in violated}
    is_found = code == _VIOLATED and bool(names & mutation.invariants)
    print(f"{'found' if is_found else 'SURVIVED'}: {mutation.name} ({mutation.scenario}, seed {seed})")
    for verdict in violated:
        first = verdict["violations"][0][:_SHOWN_CHARACTERS]
        print(f"    {verdict['invariant']} violated {len(verdict['violations'])} times, first: {first}", flush=True)
    return is_found


def _copy_sources(root: Path) -> None:
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, root / package, ignore=skipped)


async def _run(root: Path, scenario: str, seed: int) -> tuple[int, Any]:
    """Exit code and report of the scenario on the sources in `root`. Raises CampaignFailed when it cannot be run."""
    report, data = root / "report.json", root / "data"
    arguments = ("--scenario", scenario, "--short", "--seed", str(seed), "--json", str(report), "--data-dir", str(data))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos", *arguments),
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    if not report.exists():
        raise CampaignFailed(f"{scenario} could not be run on a mutation:\n{told.decode(errors='replace')[-2000:]}")
    assert process.returncode is not None
    return process.returncode, json.loads(report.read_text(encoding="utf-8"))
