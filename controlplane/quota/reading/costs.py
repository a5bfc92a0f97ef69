"""What the ledger holds for the buckets of a budget, whether they were ever leased or not. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from controlplane.quota.seeding import Cost, entry_dimensions, subject_of
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.rules import bucket_values
from tollway.resources.rules import compile_match


def cost_dimensions(budget: machine.Budget) -> tuple[str, ...]:
    """What must be read of the ledger, beside what its sums know, to tell which bucket a call is of."""
    return entry_dimensions(budget)


def bucket_sums(budget: machine.Budget, costs: Iterable[Cost]) -> Mapping[tuple[str, ...], int]:
    """Nano-USD by the values of each bucket that any of `costs` falls into."""
    match = compile_match(budget.match)
    sums: Counter[tuple[str, ...]] = Counter()
    for cost in costs:
        subject = subject_of(cost.values)
        if match.admits(subject):
            sums[bucket_values(budget.per, subject)] += cost.cost_nano_usd
    return sums
