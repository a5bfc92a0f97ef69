"""What a data plane has on disk: it outlives the process."""

from dataclasses import dataclass, field

from tests.simulation.usage_queue import Event


@dataclass(slots=True)
class Spool:
    """Events of one process until the ledger has them; running attempts as what they are if it dies now.

    `told_us` is when it was last told that there will be no more.
    """

    producer: int
    running: dict[int, Event] = field(default_factory=dict)
    ended: dict[int, Event] = field(default_factory=dict)
    told_us: int = 0

    @property
    def is_empty(self) -> bool:
        return not self.running and not self.ended

    def open(self, event: Event) -> None:
        self.running[event.event_id] = event

    def close(self, event: Event) -> None:
        del self.running[event.event_id]
        self.ended[event.event_id] = event

    def recover(self) -> None:
        """The process is gone: its running attempts are what their records say."""
        self.ended.update(self.running)
        self.running.clear()

    def forget(self, event_ids: list[int]) -> None:
        for event_id in event_ids:
            self.ended.pop(event_id, None)
