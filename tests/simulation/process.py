"""Processes of the fleet: each may be killed, or stopped for a while as by SIGSTOP."""

from tests.simulation.timeline import Action, Resume, Steps, Timeline, Wait


class Process:
    """One life of a process. What is due while it is stopped happens when it goes on."""

    def __init__(self, timeline: Timeline, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_stopped = False
        self._timeline = timeline
        self._backlog: list[Action] = []
        self._last_wills: dict[object, Action] = {}

    def run(self, action: Action) -> None:
        if not self.is_alive:
            return
        if self.is_stopped:
            self._backlog.append(action)
        else:
            action()

    def after(self, delay_us: int, action: Action) -> None:
        self._timeline.after(delay_us, lambda: self.run(action))

    def start(self, steps: Steps) -> None:
        """Goes through `steps`; each wait is for one thing. An error that it does not handle ends the simulation."""
        self._go(steps, None)

    def sleep(self, delay_us: int) -> Wait:
        return lambda resume: self._timeline.after(delay_us, lambda: resume(None))

    def at_death(self, connection: object, action: Action) -> None:
        """What becomes of a connection when the process is gone."""
        self._last_wills[connection] = action

    def forget(self, connection: object) -> None:
        self._last_wills.pop(connection, None)

    def kill(self) -> None:
        if not self.is_alive:
            return
        self.is_alive = False
        self._backlog.clear()
        last_wills, self._last_wills = self._last_wills, {}
        for action in last_wills.values():
            action()

    def stop(self) -> None:
        self.is_stopped = True

    def resume(self) -> None:
        self.is_stopped = False
        backlog, self._backlog = self._backlog, []
        for action in backlog:
            self.run(action)

    def _go(self, steps: Steps, error: Exception | None) -> None:
        try:
            wait = steps.throw(error) if error is not None else next(steps)
        except StopIteration:
            return
        wait(self._resumption(steps))

    def _resumption(self, steps: Steps) -> Resume:
        return lambda error: self.run(lambda: self._go(steps, error))
