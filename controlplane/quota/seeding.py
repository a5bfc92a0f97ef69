"""What a budget's buckets have from the ledger when they are first leased. Pure but for who reads the costs.

A bucket's `prior` is what the ledger holds for its period and match less the cost of those entries that charged it
themselves, so that an entry counts once whichever comes first: the entry, or the bucket. Calls that ran while a budget
was made carry no charge for it; two more looks, some minutes later, find them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from controlplane.quota.rows import BucketKey, BucketSpec
from tollway.config.v1 import resources_pb2 as pb
from tollway.kernel.names import bare_id
from tollway.kernel.rules import METADATA_PREFIX, UPSTREAM_DIMENSION, Match, Subject, bucket_values
from tollway.resources.rules import compile_match

SUMMED_DIMENSIONS = ("team", "user", "key", "model", "upstream")
"""Dimensions that the ledger's sums know; others are in entries alone."""


class Cost(Protocol):
    """What calls with these values of dimensions cost."""

    @property
    def values(self) -> Mapping[str, str]: ...
    @property
    def cost_nano_usd(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Seeding:
    """Buckets to be seeded together: of one window, and of budgets that look at the same dimensions.

    `budgets` are those of `specs`, by rule.
    """

    budgets: Mapping[str, pb.Budget]
    specs: Sequence[BucketSpec]

    @property
    def start(self) -> datetime:
        return datetime.fromtimestamp(self.specs[0].window_start_ms // 1000, UTC)

    @property
    def end(self) -> datetime | None:
        end_ms = self.specs[0].window_end_ms
        return None if end_ms is None else datetime.fromtimestamp(end_ms // 1000, UTC)

    @property
    def entry_dimensions(self) -> tuple[str, ...]:
        """What must be read beside SUMMED_DIMENSIONS to tell which bucket a call is of."""
        return entry_dimensions(next(iter(self.budgets.values())))

    @property
    def among(self) -> dict[str, set[str]]:
        """Values one of which calls of these buckets must have; the ledger has full names of upstreams."""
        everywhere = set.intersection(*(set(budget.per) for budget in self.budgets.values())) - {UPSTREAM_DIMENSION}
        found: dict[str, set[str]] = {name: set() for name in everywhere}
        for spec in self.specs:
            for name, value in zip(self.budgets[spec.name.rule].per, spec.name.values, strict=True):
                if name in found:
                    found[name].add(value)
        return found

    def sums(self, costs: Iterable[Cost]) -> dict[BucketKey, int]:
        """What of `costs` falls into each bucket, in nano-USD."""
        index = _Matching(self.budgets)
        keys = {(spec.name.rule, spec.name.values): spec.key for spec in self.specs}
        sums = dict.fromkeys(keys.values(), 0)
        for cost in costs:
            subject = subject_of(cost.values)
            for rule, per in index.of(subject):
                key = keys.get((rule, bucket_values(per, subject)))
                if key is not None:
                    sums[key] += cost.cost_nano_usd
        return sums


class _Matching:
    """Which of many budgets a call falls under; those that are exact about keys or teams are found by them."""

    def __init__(self, budgets: Mapping[str, pb.Budget]) -> None:
        self._by_name: dict[str, list[_Matched]] = {}
        self._others: list[_Matched] = []
        for rule, budget in budgets.items():
            matched = _Matched(compile_match(budget.match), rule, tuple(budget.per))
            keys, teams = matched.match.keys.exact, matched.match.teams.exact
            if keys is None and teams is None:
                self._others.append(matched)
            for name in (teams if keys is None else keys) or ():
                self._by_name.setdefault(name, []).append(matched)

    def of(self, call: Subject) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Rule and `per` of each."""
        names = (call.key, bare_id(call.key), call.team, bare_id(call.team))
        near = {matched.rule: matched for name in names for matched in self._by_name.get(name, ())}
        for matched in (*near.values(), *self._others):
            if matched.match.admits(call):
                yield matched.rule, matched.per


@dataclass(frozen=True, slots=True)
class _Matched:
    match: Match
    rule: str
    per: tuple[str, ...]


def entry_dimensions(budget: pb.Budget) -> tuple[str, ...]:
    """Dimensions of `budget` that the ledger's sums do not know."""
    metadata = [METADATA_PREFIX + pair.key for pair in budget.match.metadata]
    return tuple(sorted({*budget.per, *metadata} - set(SUMMED_DIMENSIONS)))


def subject_of(values: Mapping[str, str]) -> Subject:
    """The attempt that a cost is of, as rules see it."""
    metadata = {k.removeprefix(METADATA_PREFIX): v for k, v in values.items() if k.startswith(METADATA_PREFIX)}
    return Subject(
        team=values["team"],
        user=values["user"],
        key=values["key"],
        model=values["model"],
        end_user=values.get("end_user", ""),
        metadata=metadata,
        upstream=bare_id(values["upstream"]),
    )
