"""Does to a fleet what a plan says."""

from collections.abc import Callable

from tests.simulation.fleet import Fleet
from tests.simulation.leases import SETTING
from tests.simulation.plan import Fault, Strike
from tests.simulation.process import Process
from tests.simulation.quota_store import RATES_LOST
from tests.simulation.timeline import SECOND_US

_SLOTS_LAST_US = 20 * SECOND_US
_LONGEST_JUMP_US = 600 * SECOND_US


class Nemesis:
    """Each strike begins at its time and is undone after its while; what is still broken when load ends is mended."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._is_commit_lost = False
        self._acts: dict[Fault, Callable[[Strike], None]] = {
            Fault.DATA_PLANE_KILLED: self._kill_data_plane,
            Fault.DATA_PLANE_LOST: self._lose_data_plane,
            Fault.DATA_PLANE_STOPPED: lambda strike: self._stop(self._plane_process(strike), strike),
            Fault.DATA_PLANE_DRAINED: lambda strike: fleet.nodes[strike.which].drain(),
            Fault.CONTROL_PLANE_KILLED: self._kill_control_plane,
            Fault.CONTROL_PLANE_STOPPED: lambda strike: self._stop(fleet.control_planes[strike.which].process, strike),
            Fault.CONSUMER_KILLED: self._kill_consumer,
            Fault.DATABASE_CRASHED: lambda strike: self._crash(strike, 0),
            Fault.DATABASE_FAILED_OVER: lambda strike: self._crash(strike, strike.size),
            Fault.NATS_AWAY: self._stop_nats,
            Fault.CUT_OFF: self._cut_off,
            Fault.STREAM_BROKEN: lambda strike: fleet.break_streams(fleet.nodes[strike.which]),
            Fault.WALL_CLOCK_SET: self._set_clock,
            Fault.AMOUNT_CHANGED: self._change_amount,
            Fault.RULE_REPLACED: self._replace_rule,
        }

    def plan(self) -> None:
        for strike in self._fleet.plan.strikes:
            self._fleet.timeline.at(strike.at_us, lambda strike=strike: self._strike(strike))  # type: ignore[misc]

    def _strike(self, strike: Strike) -> None:
        self._fleet.trace.note("nemesis", strike.fault.value, strike.which, f"for {strike.lasts_us / 1e6:.3f} s")
        self._acts[strike.fault](strike)

    def _undo(self, strike: Strike, action: Callable[[], None]) -> None:
        ends_us = min(strike.at_us + strike.lasts_us, self._fleet.plan.loaded_us)
        self._fleet.timeline.at(ends_us, action)

    def _kill_data_plane(self, strike: Strike) -> None:
        node = self._fleet.nodes[strike.which]
        node.kill()
        self._undo(strike, node.start)

    def _lose_data_plane(self, strike: Strike) -> None:
        if len(self._fleet.nodes) > 1:
            self._fleet.nodes[strike.which].kill()

    def _plane_process(self, strike: Strike) -> Process | None:
        plane = self._fleet.nodes[strike.which].plane
        return None if plane is None else plane.process

    def _stop(self, process: Process | None, strike: Strike) -> None:
        if process is not None and process.is_alive:
            process.stop()
            self._undo(strike, process.resume)

    def _kill_control_plane(self, strike: Strike) -> None:
        planes = self._fleet.control_planes
        planes[strike.which].process.kill()
        self._undo(strike, lambda: self._restart_control_plane(strike.which))

    def _restart_control_plane(self, number: int) -> None:
        if not self._fleet.control_planes[number].process.is_alive:
            self._fleet.control_planes[number] = self._fleet.make_control_plane(number)

    def _kill_consumer(self, strike: Strike) -> None:
        self._fleet.consumers[strike.which].process.kill()
        self._undo(strike, lambda: self._restart_consumer(strike.which))

    def _restart_consumer(self, number: int) -> None:
        if not self._fleet.consumers[number].process.is_alive:
            self._fleet.consumers[number] = self._fleet.make_consumer(number)

    def _crash(self, strike: Strike, lost_us: int) -> None:
        self._fleet.database.crash(lost_us)
        self._is_commit_lost = self._is_commit_lost or lost_us > 0
        self._undo(strike, self._restart_database)

    def _restart_database(self) -> None:
        fleet = self._fleet
        if fleet.database.is_up:
            return
        fleet.database.restart()
        fleet.database.table(SETTING)[RATES_LOST] = fleet.store.now_us()
        if self._is_commit_lost:
            self._is_commit_lost = False
            fleet.queue.replay()
            for watch in fleet.watches.slots.values():
                watch.excuse_all(fleet.timeline.now_us + _SLOTS_LAST_US)

    def _stop_nats(self, strike: Strike) -> None:
        queue = self._fleet.queue
        queue.is_up = False

        def start() -> None:
            queue.is_up = True

        self._undo(strike, start)

    def _cut_off(self, strike: Strike) -> None:
        node = self._fleet.nodes[strike.which]
        self._fleet.cut(node)
        self._undo(strike, lambda: self._fleet.cut_off.discard(node.name))

    def _set_clock(self, strike: Strike) -> None:
        clocks = self._fleet.clocks[strike.which]
        clocks.jump((strike.size * 2 - 1_000_000) * _LONGEST_JUMP_US // 1_000_000)

    def _change_amount(self, strike: Strike) -> None:
        rules = list(self._fleet.configuration.rules.values())
        rule = rules[strike.size % len(rules)]
        amount = max(1, rule.amount * (strike.size % 7 + 1) // 4)
        self._fleet.watches.amount_changed(rule.name, amount)
        self._fleet.configuration.put(rule.with_amount(amount))

    def _replace_rule(self, strike: Strike) -> None:
        rules = list(self._fleet.configuration.rules.values())
        rule = rules[strike.size % len(rules)]
        self._fleet.configuration.put(rule.replaced())
