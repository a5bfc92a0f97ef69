"""`python -m tests.chaos`: exit code 0 when everything holds, 1 when something is violated, 2 when it cannot be run."""

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.chaos.admin_api import AdminApi
from tests.chaos.attacks import Size
from tests.chaos.campaign import Plan, Report, Stage, run_campaign
from tests.chaos.checker import Verdict
from tests.chaos.cluster import Cluster
from tests.chaos.installation import Place, command_fault, open_installation, open_stack
from tests.chaos.local_site import running_cluster
from tests.chaos.mutations import run_mutations
from tests.chaos.nemesis import strike_all
from tests.chaos.report import render_json, render_text
from tests.chaos.scenarios import SCENARIOS, Scenario, run_scenario
from tests.chaos.site import Fault, ReadingFailed, Site
from tests.chaos.waiting import CampaignFailed
from tollctl.local.errors import LocalError

_HOLDS, _VIOLATED, _FAILED = 0, 1, 2
_INSTALLATION_RATE_PER_S = 20.0
_INSTALLATION_DRAINED_S = 120.0


def main() -> None:
    options = _parse()
    try:
        sys.exit(asyncio.run(_run(options)))
    except (CampaignFailed, ReadingFailed, LocalError, TimeoutError, ExceptionGroup) as error:
        print(f"the campaign could not be run: {_told(error)}", file=sys.stderr)
        sys.exit(_FAILED)


def _told(error: Exception) -> str:
    """Of several the first."""
    if isinstance(error, ExceptionGroup):
        return _told(error.exceptions[0])
    return f"{type(error).__name__} {error}".strip() if not isinstance(error, CampaignFailed) else str(error)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description="The truth test; docs/chaos.md tells more.")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="random if not given"
    )
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="of random faults (default: 60)")
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="repeat it; all if not given")
    parser.add_argument("--short", action="store_true", help="as short as in the tests")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there, too")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="keep the cluster's data there (default: nowhere)")
    parser.add_argument("--mutations", action="store_true", help="break the product on purpose: each must be found")
    theirs = parser.add_argument_group("an installation of yours, with random faults")
    theirs.add_argument("--stack", type=Path, metavar="DATA_DIR", help="a running `tollctl up`; needs --truth-log")
    theirs.add_argument("--base-url", action="append", metavar="URL", help="of a data plane, without /v1")
    theirs.add_argument("--team", help="a team made for this campaign")
    theirs.add_argument("--key", action="append", help="a virtual key of that team")
    theirs.add_argument("--admin-url", metavar="URL")
    theirs.add_argument("--token", default=os.environ.get("TOLLWAY_ADMIN_TOKEN", ""), help="or TOLLWAY_ADMIN_TOKEN")
    theirs.add_argument("--truth-log", action="append", type=Path, metavar="FILE", help="of the simulated provider")
    theirs.add_argument("--upstream", default="sim", help="the upstream that it is (default: sim)")
    theirs.add_argument("--database-url", default="", metavar="URL", help="to look at sums and producers, too")
    theirs.add_argument("--metrics-url", action="append", default=[], metavar="URL", help="of a data plane")
    theirs.add_argument("--fault", action="append", default=[], metavar="NAME=COMMAND", help="a shell command")
    return parser.parse_args()


async def _run(options: argparse.Namespace) -> int:
    if options.mutations:
        return _HOLDS if await run_mutations(options.seed, options.scenario or ()) else _VIOLATED
    if options.stack or options.base_url:
        reports = [await _run_theirs(options)]
    else:
        reports = await _run_ours(options)
    if options.json:
        options.json.write_text(json.dumps(render_json(reports), indent=2) + "\n", encoding="utf-8")
    bad = [report.plan.name for report in reports if not report.holds]
    print(f"seed {options.seed}: " + (f"VIOLATED in {', '.join(bad)}" if bad else "everything holds"))
    return _VIOLATED if bad else _HOLDS


async def _run_ours(options: argparse.Namespace) -> list[Report]:
    folder = options.data_dir or Path(tempfile.mkdtemp(prefix="tollway-chaos-"))
    reports: list[Report] = []
    async with running_cluster(Cluster(folder)) as cluster:
        for scenario in _chosen(options.scenario):
            report = await run_scenario(cluster, scenario, _size(scenario, options), options.seed)
            print(render_text(report), flush=True)
            reports.append(report)
    if all(report.holds for report in reports) and not options.data_dir:
        shutil.rmtree(folder)
    else:
        print(f"logs and data are in {folder}")
    return reports


def _chosen(names: Sequence[str] | None) -> list[Scenario]:
    return [SCENARIOS[name] for name in names or SCENARIOS]


def _size(scenario: Scenario, options: argparse.Namespace) -> Size:
    if scenario.name == "mixed":
        return replace(scenario.long, seconds=options.duration)
    return scenario.short if options.short else scenario.long


async def _run_theirs(options: argparse.Namespace) -> Report:
    site = await _open_theirs(options)

    async def attack(stage: Stage) -> list[Verdict]:
        if not site.faults:
            await asyncio.sleep(options.duration)
            return []
        struck = await strike_all(site.faults, stage.chance, options.duration)
        return [
            Verdict("N1", "faults were struck", () if struck else ("none was",), {n: struck.count(n) for n in struck})
        ]

    plan = Plan(
        *("installation", "random faults on an installation", site.kinds),
        *(_INSTALLATION_RATE_PER_S, _INSTALLATION_DRAINED_S, False),
    )
    report = await run_campaign(site, plan, options.seed, attack)
    print(render_text(report), flush=True)
    return report


async def _open_theirs(options: argparse.Namespace) -> Site:
    """Raises CampaignFailed naming the option that is missing."""
    if not options.truth_log:
        raise CampaignFailed("give --truth-log, the file that the simulated provider writes")
    if options.stack:
        return await open_stack(options.stack, options.truth_log[0])
    missing = [
        f"--{name.replace('_', '-')}" for name in ("team", "key", "admin_url", "token") if not getattr(options, name)
    ]
    if missing:
        raise CampaignFailed(f"give {', '.join(missing)}, too")
    place = Place(
        base_urls=[url.rstrip("/").removesuffix("/v1") for url in options.base_url],
        team=options.team,
        keys=options.key,
        admin=AdminApi(options.admin_url, options.token),
        truth_logs=options.truth_log,
        upstream=options.upstream,
        database_url=options.database_url,
        metrics_urls=options.metrics_url,
    )
    return await open_installation(place, [_read_fault(text) for text in options.fault])


def _read_fault(text: str) -> Fault:
    name, _, command = text.partition("=")
    if not name or not command:
        raise CampaignFailed(f"--fault {text!r} cannot be read: write it as NAME=COMMAND")
    return command_fault(name, command)


if __name__ == "__main__":
    main()
