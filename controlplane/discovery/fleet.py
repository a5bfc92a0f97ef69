"""What each connected data plane runs, written to the database often enough that every replica can tell."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.db.engine import Database
from controlplane.discovery.rows import FleetRow
from controlplane.discovery.store import FleetStore
from controlplane.errors import Unavailable
from tollway.config.v1.discovery_pb2 import Ack, Hello, Rejection

logger = logging.getLogger(__name__)

FLUSH_S = 0.5
TOUCH_S = 5.0
FORGET_AFTER = timedelta(hours=24)
MAX_REJECTIONS = 100
MAX_REASON = 500


@dataclass(slots=True, eq=False)
class Connection:
    """One stream of a data plane; `row` is what is known about it, `changed` whether that is still to be written."""

    row: FleetRow
    changed: bool = True

    def acknowledge(self, ack: Ack) -> list[Mapping[str, object]]:
        """Notes what the data plane runs and all that it refuses; returns refusals that it has not told before."""
        before = self.row
        rejections = [_shown(rejection) for rejection in ack.rejections[:MAX_REJECTIONS]]
        self.row = replace(before, epoch=ack.applied.epoch, revision=ack.applied.revision, rejections=rejections)
        self.changed = True
        return [rejection for rejection in rejections if rejection not in before.rejections]


class Fleet:
    """All streams of this process."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._connections: set[Connection] = set()
        self._gone: list[FleetRow] = []

    def __len__(self) -> int:
        return len(self._connections)

    def connect(self, hello: Hello) -> Connection:
        now = self._now()
        connection = Connection(
            FleetRow(
                node=hello.node,
                boot_id=str(hello.boot_id),
                build=hello.build,
                connected=True,
                epoch=hello.resume_from.epoch,
                revision=hello.resume_from.revision,
                rejections=(),
                connect_time=now,
                last_seen_time=now,
            )
        )
        self._connections.add(connection)
        return connection

    def disconnect(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._gone.append(replace(connection.row, connected=False, last_seen_time=self._now()))

    async def run(self) -> None:
        """Writes changes soon, and everything now and then, until it is cancelled; then those that are gone."""
        since_touch_s = 0.0
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                since_touch_s += FLUSH_S
                everything = since_touch_s >= TOUCH_S
                await self._try_flush(everything)
                since_touch_s = 0.0 if everything else since_touch_s
        finally:
            for connection in list(self._connections):
                self.disconnect(connection)
            await self._try_flush(False)

    async def flush(self, everything: bool = True) -> None:
        """Raises Unavailable; what could not be written is written the next time."""
        chosen = [c for c in self._connections if everything or c.changed]
        gone, self._gone = self._gone, []
        rows = gone + [replace(c.row, last_seen_time=self._now()) for c in chosen]
        if not rows:
            return
        try:
            async with self._database.transaction() as connection:
                store = FleetStore(connection)
                await store.put(sorted(_latest(rows), key=lambda row: row.node))
                if everything:
                    await store.forget_before(self._now() - FORGET_AFTER)
        except Unavailable:
            self._gone = gone + self._gone
            raise
        for connection_ in chosen:
            connection_.changed = False

    async def _try_flush(self, everything: bool) -> None:
        try:
            async with asyncio.timeout(TOUCH_S):
                await self.flush(everything)
        except (Unavailable, TimeoutError) as error:
            logger.debug("fleet not written, tried again soon error=%r", str(error))


def _latest(rows: Iterable[FleetRow]) -> list[FleetRow]:
    """One row per node: that of the last connection, and of its last state."""
    latest: dict[str, FleetRow] = {}
    for row in rows:
        known = latest.get(row.node)
        if known is None or row.connect_time >= known.connect_time:
            latest[row.node] = row
    return list(latest.values())


def _shown(rejection: Rejection) -> Mapping[str, object]:
    return {"name": _text(rejection.name), "revision": rejection.revision, "reason": _text(rejection.reason)}


def _text(text: str) -> str:
    return text.replace("\x00", "")[:MAX_REASON]
