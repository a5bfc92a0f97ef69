"""One node of the data plane: its processes, one after another, and the spools that they leave behind."""

from collections.abc import Callable

from tests.simulation.data_plane import DataPlane
from tests.simulation.database import DatabaseError
from tests.simulation.leases import ENTRY, PRODUCER
from tests.simulation.quota_store import QuotaStore
from tests.simulation.spool import Spool
from tests.simulation.timeline import MILLISECOND_US, SECOND_US, Steps
from tests.simulation.usage_queue import UsageQueue

_PUBLISH_US = 200 * MILLISECOND_US
_AGAIN_US = 3 * SECOND_US


class Node:
    """`spawn` makes the next process. A process that starts takes over what the ones before it left."""

    def __init__(self, name: str, store: QuotaStore, queue: UsageQueue, spawn: Callable[[str], DataPlane]) -> None:
        self.name = name
        self.plane: DataPlane | None = None
        self.left: list[Spool] = []
        self.takes_calls = True
        self._store = store
        self._queue = queue
        self._spawn = spawn

    @property
    def is_alive(self) -> bool:
        return self.plane is not None and self.plane.process.is_alive

    def start(self) -> None:
        if self.is_alive:
            return
        plane = self.plane = self._spawn(self.name)
        self.takes_calls = True
        for spool in self.left:
            spool.recover()
        plane.start()
        self._publish(plane, {})

    def kill(self) -> None:
        """As by SIGKILL."""
        if self.plane is not None and self.is_alive:
            self.plane.process.kill()
            self.plane.killed()
            self.left.append(self.plane.spool)

    def drain(self) -> None:
        """As by SIGTERM: no more calls, running ones end, everything goes back, and another process starts."""
        self.takes_calls = False
        if self.plane is not None and self.is_alive:
            self._drain(self.plane)

    def _drain(self, plane: DataPlane) -> None:
        if plane.running or plane.is_anybody_waiting:
            plane.process.after(_PUBLISH_US, lambda: self._drain(plane))
            return
        plane.drain()
        plane.process.after(SECOND_US, self._replace)

    def _replace(self) -> None:
        self.kill()
        self.takes_calls = True
        self.start()

    def _publish(self, plane: DataPlane, sent_us: dict[int, int]) -> None:
        """Sends what was not sent, again what is not booked after a while, and forgets what is booked."""
        now_us = self._store.now_us()
        entries = self._store.database.table(ENTRY)
        for spool in (plane.spool, *self.left):
            spool.forget([event_id for event_id in spool.ended if event_id in entries])
            due = [event for event_id, event in spool.ended.items() if sent_us.get(event_id, 0) <= now_us - _AGAIN_US]
            sent_us.update((event.event_id, now_us) for event in due)
            if due:
                self._queue.publish(due)
        for spool in self.left:
            if spool.is_empty and spool.producer not in self._store.database.table(PRODUCER):
                self._complete_soon(plane, spool)
        plane.process.after(_PUBLISH_US, lambda: self._publish(plane, sent_us))

    def _complete_soon(self, plane: DataPlane, spool: Spool) -> None:
        """Tells that the ledger has everything of a process that is gone, until somebody has noted it."""
        if spool.told_us <= self._store.now_us() - SECOND_US:
            spool.told_us = self._store.now_us()
            plane.process.start(self._complete(plane, spool.producer))

    def _complete(self, plane: DataPlane, producer: int) -> Steps:
        yield plane.process.sleep(20 * MILLISECOND_US)
        try:
            transaction = self._store.database.begin(plane.process)
            transaction.write(PRODUCER, producer, True)
            yield from transaction.commit(2 * MILLISECOND_US)
        except DatabaseError:
            return
