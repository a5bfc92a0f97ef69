"""Looks at budgets while a campaign runs: what the provider has served, then what the database holds."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.limits.evidence import BudgetCap, Cap, Sample
from tests.chaos.site import ReadingFailed, Site

_INTERVAL_S = 1.0


class Sampler:
    """`teams` and `caps` grow while the campaign runs; calls are those whose user is in `teams`."""

    def __init__(self, site: Site, teams: Mapping[str, str], caps: Sequence[Cap]) -> None:
        self._site = site
        self._teams = teams
        self._caps = caps
        self._tails = [TruthTail(path) for path in site.truth_logs]
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Once a second, until cancelled; while the database is away there is nothing to see."""
        while True:
            with suppress(ReadingFailed):
                self.samples.append(await self.look())
            await asyncio.sleep(_INTERVAL_S)

    async def look(self) -> Sample:
        """Raises ReadingFailed."""
        by_team: Counter[str] = Counter()
        for tail in self._tails:
            tail.read()
            for user, cost in tail.costs.values():
                by_team[self._teams.get(user, "")] += cost
        served = {cap.rule: by_team[cap.team] for cap in self._caps if isinstance(cap, BudgetCap)}
        return Sample(time.time_ns() // 1_000_000, served, await self._site.read_budgets())


class TruthTail:
    """The newest record of each call in a truth log that grows: `costs` is (user, nano-USD) by the provider's id."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.costs: dict[str, tuple[str, int]] = {}

    def read(self) -> None:
        """Takes in what is new; a line that has not its end yet waits for the next time."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            whole, end, _ = log.read().rpartition(b"\n")
        self._offset += len(whole) + len(end)
        for line in whole.splitlines():
            with suppress(ValueError):
                record = json.loads(line)
                self.costs[record["call"]] = (record["user"], record["cost_nano_usd"])
