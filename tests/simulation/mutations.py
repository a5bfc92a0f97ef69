"""The protocol broken on purpose, one promise at a time: a simulator that stays green proves nothing.

Each is made in memory, in the pure cores or in the models of what stands around them, and undone afterwards.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from controlplane.quota import reaping, reconciliation
from controlplane.quota.authority import Decision
from controlplane.quota.rows import LeaseRow, LeaseState
from controlplane.quota.workbook import Changes
from dataplane.limits import exchange
from dataplane.limits.leases import LeaseTable
from dataplane.limits.reservations import Need
from tests.simulation.database import Database, Place, Transaction
from tests.simulation.plan import Plan, hung_plan, plan_of, stopped_plan
from tests.simulation.quota_store import QuotaStore
from tests.simulation.run import run_plan
from tollway.quota.v1.quota_pb2 import LeaseResponse

_MOST_SEEDS = 150


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is broken, and the invariants one of which must then be violated in some seed, from `first_seed` on."""

    name: str
    invariants: frozenset[str]
    broken: Callable[[], AbstractContextManager[None]]
    plan: Callable[[int], Plan] = plan_of
    first_seed: int = 0


@contextmanager
def _patched(owner: object, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _no_row_locks() -> AbstractContextManager[None]:
    def try_acquire(self: Database, place: Place, transaction: Transaction) -> bool:
        return True

    return _patched(Database, "try_acquire", try_acquire)


def _no_lock_order() -> AbstractContextManager[None]:
    return _patched(QuotaStore, "is_ordered", False)


def _no_fence() -> AbstractContextManager[None]:
    """Neither an older Update nor an older Hello is refused."""
    return _patched(QuotaStore, "is_fenced", False)


def _settled_twice() -> AbstractContextManager[None]:
    settle = LeaseTable.settle

    def twice(self: LeaseTable, need: Need, actual: int, now_ms: int) -> None:
        settle(self, need, actual, now_ms)
        need.is_settled = False
        settle(self, need, actual, now_ms)

    return _patched(LeaseTable, "settle", twice)


def _never_settled() -> AbstractContextManager[None]:
    """Reservations of failed calls leak."""
    settle = LeaseTable.settle

    def sometimes(self: LeaseTable, need: Need, actual: int, now_ms: int) -> None:
        if actual:
            settle(self, need, actual, now_ms)

    return _patched(LeaseTable, "settle", sometimes)


def _no_reconciliation() -> AbstractContextManager[None]:
    def reconcile(*_: Any) -> Decision:
        return Decision(LeaseResponse(), Changes())

    return _patched(reconciliation, "reconcile", reconcile)


def _leases_last_from_the_answer() -> AbstractContextManager[None]:
    """Not from the ask: then the control plane may give away what its holder still uses."""
    take = exchange.Exchange.take

    def late(self: exchange.Exchange, response: LeaseResponse, now_ms: int) -> Any:
        sent = self._sent.get(response.ack_sequence)
        if sent is not None:
            self._sent[response.ack_sequence] = replace(sent, sent_ms=now_ms)
        return take(self, response, now_ms)

    return _patched(exchange.Exchange, "take", late)


@contextmanager
def _lost_holders_are_forgiven() -> Iterator[None]:
    """What a killed data plane held is free at once, whoever notices."""

    def suspended(lease: LeaseRow, now_us: int) -> LeaseRow:
        return replace(lease, state=LeaseState.CLOSED)

    with _patched(reconciliation, "suspended", suspended), _patched(reaping, "suspended", suspended):
        yield


MUTATIONS = (
    Mutation("rows are not locked", frozenset({"books", "I1", "I2", "strict"}), _no_row_locks),
    Mutation("locks are taken in no order", frozenset({"lock order"}), _no_lock_order),
    Mutation("older streams are not fenced", frozenset({"I1", "I2", "strict", "rest", "slots"}), _no_fence, hung_plan),
    Mutation("calls are settled twice", frozenset({"I2", "strict", "rest", "slots", "Q1"}), _settled_twice),
    Mutation("reservations of failed calls leak", frozenset({"rest"}), _never_settled),
    Mutation("Hello reconciles nothing", frozenset({"rest", "I2"}), _no_reconciliation),
    Mutation("leases last from the answer on", frozenset({"slots"}), _leases_last_from_the_answer, stopped_plan),
    Mutation(
        "what lost holders had is free at once", frozenset({"I2", "strict"}), _lost_holders_are_forgiven, first_seed=55
    ),
)


def find(mutation: Mutation, most_seeds: int = _MOST_SEEDS) -> str:
    """The violation that gives `mutation` away, with its seed; empty when it survives that many seeds."""
    with mutation.broken():
        for seed in range(mutation.first_seed, mutation.first_seed + most_seeds):
            violation = run_plan(mutation.plan(seed)).violation
            if violation is not None and violation.invariant in mutation.invariants:
                return f"seed {seed}: {violation}"
    return ""
