"""The rules as admins have them, and as each process hears of them a moment later."""

import random

from tests.simulation.process import Process
from tests.simulation.rules import Kind, Rule
from tests.simulation.timeline import MILLISECOND_US, Action
from tollway.config.v1 import resources_pb2 as pb

_SLOWEST_US = 900 * MILLISECOND_US
_UNITS = {
    Kind.REQUESTS: pb.LIMIT_UNIT_REQUESTS,
    Kind.TOKENS: pb.LIMIT_UNIT_TOKENS,
    Kind.SLOTS: pb.LIMIT_UNIT_CONCURRENT,
}


class View:
    """What one process knows of the rules."""

    def __init__(self, rules: dict[str, Rule], changed: Action) -> None:
        self.rules = dict(rules)
        self._resources = {name: resource_of(rule) for name, rule in rules.items()}
        self._changed = changed

    def take(self, rule: Rule) -> None:
        self.rules[rule.name] = rule
        self._resources[rule.name] = resource_of(rule)
        self._changed()

    def resource(self, name: str) -> pb.Resource | None:
        return self._resources.get(name)


class Configuration:
    """The truth, and who has subscribed to it."""

    def __init__(self, chance: random.Random, rules: tuple[Rule, ...]) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self._chance = chance
        self._views: list[tuple[Process, View]] = []

    def subscribe(self, process: Process, changed: Action) -> View:
        view = View(self.rules, changed)
        self._views.append((process, view))
        return view

    def put(self, rule: Rule) -> None:
        self.rules[rule.name] = rule
        for process, view in self._views:
            process.after(self._chance.randrange(_SLOWEST_US), lambda view=view: view.take(rule))  # type: ignore[misc]


def resource_of(rule: Rule) -> pb.Resource:
    per = ["key"] if rule.per_key else []
    if rule.kind.is_budget:
        budget = pb.Budget(per=per, amount_nano_usd=rule.amount, generation=rule.generation)
        budget.period = pb.BUDGET_PERIOD_DAY if rule.window_ms else pb.BUDGET_PERIOD_TOTAL
        return pb.Resource(name=rule.name, budget=budget)
    limit = pb.Limit(unit=_UNITS[rule.kind], amount=rule.amount, window_ms=rule.window_ms, burst=rule.burst)
    return pb.Resource(name=rule.name, rate_limit=pb.RateLimit(per=per, limits=[limit], generation=rule.generation))
