"""The rules of this installation, compiled as data planes compile them, and which of them a call falls under."""

import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace

from google.protobuf.json_format import ParseError

from controlplane.db.unit_of_work import ReadView
from controlplane.resources.convert import resource_to_message
from controlplane.resources.rows import StoredResource
from tollway.admin.v1.budgets_pb2 import Budget
from tollway.admin.v1.rate_limits_pb2 import RateLimit
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.rules import Match, Subject, bucket_values, is_per_attempt
from tollway.resources.budgets import project_budget
from tollway.resources.kinds import BUDGET, KINDS, RATE_LIMIT
from tollway.resources.rate_limits import project_rate_limit
from tollway.resources.rules import compile_match, compile_per

logger = logging.getLogger(__name__)

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in machine form, with what it is matched by."""

    form: machine.Resource
    match: Match
    per: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.form.name

    @property
    def is_audited(self) -> bool:
        rule = self.form.budget if self.form.HasField("budget") else self.form.rate_limit
        return rule.mode == machine.ENFORCEMENT_MODE_AUDIT


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that a call falls under, and the bucket that it would be counted in.

    `upstreams` are those of the attempts that it looks at; none where it looks at the call.
    """

    rule: Rule
    values: tuple[str, ...]
    upstreams: frozenset[str] = frozenset()


async def read_rules(view: ReadView) -> list[Rule]:
    """All rules, budgets first, each kind in order of name."""
    return [rule async for row in _rows(view) if (rule := _compiled(row)) is not None]


def matching_rules(rules: Iterable[Rule], call: Subject, upstreams: Sequence[str]) -> list[Hit]:
    """What `call`, which has no upstream, falls under, and what its attempts at any of `upstreams`, bare ids, do."""
    attempts = [call._replace(upstream=upstream) for upstream in dict.fromkeys(upstreams)]
    hits: dict[tuple[str, tuple[str, ...]], Hit] = {}
    for rule in rules:
        for subject in attempts if is_per_attempt(rule.match, rule.per) else [call]:
            if rule.match.admits(subject):
                values = bucket_values(rule.per, subject)
                before = hits.get((rule.name, values), Hit(rule, values))
                looked_at = {subject.upstream} if subject.upstream else set()
                hits[rule.name, values] = replace(before, upstreams=before.upstreams | looked_at)
    return list(hits.values())


async def _rows(view: ReadView) -> AsyncIterator[StoredResource]:
    for kind in (BUDGET, RATE_LIMIT):
        after = ""
        while rows := await view.resources.list_page(kind.name, "", after, _PAGE):
            for row in rows:
                yield row
            after = rows[-1].name


def _compiled(row: StoredResource) -> Rule | None:
    """None for a stored rule that this release cannot use, which data planes reject too."""
    try:
        form = _projected(row)
        rule = form.budget if form.HasField("budget") else form.rate_limit
        return Rule(form, compile_match(rule.match), compile_per(rule.per))
    except (ParseError, ValueError) as error:
        logger.error("rule left out resource=%s reason=%r", row.name, str(error))
        return None


def _projected(row: StoredResource) -> machine.Resource:
    message = resource_to_message(KINDS[row.kind], row)
    assert isinstance(message, RateLimit | Budget)
    if isinstance(message, Budget):
        return project_budget(message, row.revision)
    return project_rate_limit(message, row.revision)
