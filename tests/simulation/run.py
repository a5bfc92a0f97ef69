"""One seed: a fleet lives, and comes to rest."""

from dataclasses import dataclass

from controlplane.quota.rows import BucketRow
from tests.simulation.fleet import Fleet
from tests.simulation.leases import BUCKET
from tests.simulation.nemesis import Nemesis
from tests.simulation.plan import Fault, Plan, plan_of
from tests.simulation.trace import Violation

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed; `violation` is None when everything holds."""

    seed: int
    violation: Violation | None
    trace: list[str]
    admitted: int
    refused: int
    handled: int


def run_seed(seed: int) -> Outcome:
    return run_plan(plan_of(seed))


def run_plan(plan: Plan) -> Outcome:
    fleet = Fleet(plan)
    violation: Violation | None = None
    try:
        Nemesis(fleet).plan()
        fleet.start()
        fleet.timeline.run(plan.ends_us)
        check_rest(fleet)
    except Violation as error:
        fleet.trace.note("checker", str(error))
        violation = error
    planes = fleet.planes
    return Outcome(
        seed=plan.seed,
        violation=violation,
        trace=fleet.trace.render(_SHOWN),
        admitted=sum(plane.admitted for plane in planes),
        refused=sum(plane.refused for plane in planes),
        handled=fleet.timeline.handled,
    )


def check_rest(fleet: Fleet) -> None:
    """After load has ended nothing is reserved, nobody waits, and nothing is in escrow. Raises Violation."""
    database = fleet.database
    if database.disorders or database.deadlocks:
        raise Violation("lock order", f"{database.disorders} waits out of order, {database.deadlocks} deadlocks")
    for node in fleet.nodes:
        plane = node.plane
        if plane is None or not plane.process.is_alive:
            continue
        held = {holding.bucket.rule: holding.reserved for holding in plane.table.holdings if holding.reserved}
        if held or plane.running or plane.table.waiting or plane.is_anybody_waiting:
            raise Violation("rest", f"{node.name} has {held} reserved, {plane.table.waiting} calls wait")
    if fleet.plan.has(Fault.DATABASE_FAILED_OVER):
        # What was settled in commits that are lost may stay in escrow until its holder's last event.
        return
    for row in fleet.database.table(BUCKET).values():
        _check_bucket(fleet, row)


def _check_bucket(fleet: Fleet, row: BucketRow) -> None:
    leases = [fleet.store.index.leases[lease_id] for lease_id in fleet.store.index.by_bucket[row.key]]
    kept = sum(lease.escrow for lease in leases if lease.node in fleet.lost_nodes)
    if row.escrow > kept:
        raise Violation("rest", f"{row.name.rule} has {row.escrow} in escrow, {kept} of it of lost nodes: {leases}")
