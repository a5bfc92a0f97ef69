"""All producers whose events this process keeps: itself, and those whose spool it took over."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dataplane.metering.outbox import Outbox
from dataplane.metering.producer import Producer, ProducerProgress, Ranges
from dataplane.metering.spool.folders import SpoolFolder, abandoned_folders
from dataplane.metering.spool.journal import Journal
from dataplane.metering.spool.recovery import Recovered, SpoolUnreadable, recover

ADOPTION_INTERVAL_S: Final = 10.0
RETRY_INTERVAL_S: Final = 1.0
RESEND_INTERVAL_S: Final = 5.0
COMPLETION_WAIT_S: Final = 60.0
"""For how long a booked spool is kept for a control plane that does not say that it knows (an older one)."""


logger = logging.getLogger(__name__)


class Custody:
    """Forgets events once the ledger has acknowledged them, and sends again what it misses.

    has_ledger: whether acknowledgements of the ledger come; without them, events are forgotten when NATS has them.
    clock_s: monotonic seconds.
    """

    def __init__(
        self,
        own: Producer,
        outbox: Outbox,
        root: Path,
        *,
        has_ledger: bool,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own = own
        self._outbox = outbox
        self._root = root
        self._has_ledger = has_ledger
        self._clock_s = clock_s
        self._adopted: dict[int, tuple[Producer, SpoolFolder]] = {}
        self._refused: set[str] = set()
        self._resent_s: dict[int, float] = {}
        self._booked_s: dict[int, float] = {}
        self._complete: set[int] = set()
        self.crash_estimates = 0
        self.resent_events = 0
        self.damages = 0

    @property
    def adopted(self) -> int:
        """Producers that were taken over and are not yet acknowledged."""
        return len(self._adopted)

    @property
    def unacknowledged_events(self) -> int:
        return sum(producer.unacknowledged_events for producer in self._producers())

    @property
    def spool_bytes(self) -> int:
        return sum(producer.journal.size_bytes for producer in self._producers())

    def progress(self) -> list[ProducerProgress]:
        """Of this process, and of all that it took over until the ledger knows that they are complete."""
        return [p.progress for p in self._producers()]

    def complete(self, boot_id: int) -> None:
        """The ledger has noted that it has all there will ever be of a producer that was taken over."""
        if boot_id in self._adopted:
            self._complete.add(boot_id)

    def acknowledge(self, boot_id: int, through: int, missing: Ranges) -> None:
        """What the ledger says of a producer: it has all events up to `through`, and NATS has lost `missing`.

        What is asked for again too soon is not sent: the ledger may not have seen yet what was sent the last time.
        """
        producer = self._find(boot_id)
        if producer is None:
            return
        producer.acknowledge(through)
        ranges = producer.missing(missing)
        now_s = self._clock_s()
        if ranges and now_s - self._resent_s.get(boot_id, -RESEND_INTERVAL_S) >= RESEND_INTERVAL_S:
            self._resent_s[boot_id] = now_s
            self._resend(producer, ranges)

    async def run(self) -> None:
        """Takes over what processes that are gone have left, now and then, until cancelled."""
        while True:
            await self._adopt_all()
            await asyncio.sleep(ADOPTION_INTERVAL_S)

    async def keep_up(self) -> None:
        """Writes what the disk refused before, and lets go of what is acknowledged, until cancelled."""
        while True:
            self._own.journal.retry()
            if not self._has_ledger:
                for producer in self._producers():
                    producer.acknowledge(producer.published_through)
            await asyncio.to_thread(self._delete, [producer.journal for producer in self._producers()])
            for folder, journal in self._take_booked():
                await asyncio.to_thread(remove, folder, journal)
            await asyncio.sleep(RETRY_INTERVAL_S)

    async def wait_booked(self, timeout_s: float) -> int:
        """Wait until the ledger has acknowledged this process's events; the number of those that it has not."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._own.is_booked:
                    if not self._has_ledger:
                        self._own.acknowledge(self._own.published_through)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logger.debug("acknowledgement of the ledger did not come in time timeout_s=%s", timeout_s)
        return self._own.unacknowledged_events

    def close(self) -> None:
        """Let go of what was taken over; what is not booked is there for the next process."""
        for folder, journal in self._take_booked():
            remove(folder, journal)
        for producer, folder in self._adopted.values():
            producer.journal.close()
            folder.release()
        self._adopted.clear()

    async def _adopt_all(self) -> None:
        try:
            folders = await asyncio.to_thread(lambda: list(abandoned_folders(self._root)))
        except OSError as error:
            logger.error("the spool's folder cannot be read folder=%s error=%s", self._root, error)
            return
        for folder in folders:
            try:
                recovered = await asyncio.to_thread(recover, folder.path, folder.boot_id)
            except (OSError, SpoolUnreadable) as error:
                self._refuse(folder, error)
            else:
                self._take_over(folder, recovered)

    def _refuse(self, folder: SpoolFolder, error: Exception) -> None:
        """Leave a spool where it is; what is the matter with it is said once."""
        folder.release()
        if folder.path.name not in self._refused:
            self._refused.add(folder.path.name)
            text = "a spool cannot be taken over, its usage is not billed until it is folder=%s error=%s"
            logger.error(text, folder.path, error)

    def _take_over(self, folder: SpoolFolder, recovered: Recovered) -> None:
        producer = Producer(folder.boot_id, recovered.journal, recovered.first_sequence, is_final=True)
        producer.last_sequence = recovered.last_sequence
        self._adopted[folder.boot_id] = (producer, folder)
        self._refused.discard(folder.path.name)
        self.crash_estimates += recovered.estimates
        if recovered.damages:
            self.damages += recovered.damages
            logger.error("a spool is damaged, see what is missing folder=%s places=%d", folder.path, recovered.damages)
        events = producer.unacknowledged_events
        if events:
            text = "took over the spool of a process that is gone folder=%s events=%d estimated=%d"
            logger.warning(text, folder.path, events, recovered.estimates)
            for batch in producer.places(recovered.first_sequence, recovered.last_sequence):
                self._outbox.put(producer, batch)

    def _resend(self, producer: Producer, ranges: list[tuple[int, int]]) -> None:
        logger.warning("sent again what NATS has lost boot_id=%d ranges=%s", producer.boot_id, ranges)
        for batch in producer.places_again(ranges):
            self.resent_events += batch.events
            self._outbox.put(producer, batch)

    def _take_booked(self) -> list[tuple[SpoolFolder, Journal]]:
        """The spools taken over in which everything is booked and known to be, which are no longer in custody."""
        booked = [boot_id for boot_id, (producer, _) in self._adopted.items() if self._is_done(producer)]
        for boot_id in booked:
            self._resent_s.pop(boot_id, None)
            self._booked_s.pop(boot_id, None)
            self._complete.discard(boot_id)
        taken = [self._adopted.pop(boot_id) for boot_id in booked]
        return [(folder, producer.journal) for producer, folder in taken]

    def _is_done(self, producer: Producer) -> bool:
        if not producer.is_booked:
            return False
        if not self._has_ledger or producer.boot_id in self._complete:
            return True
        now_s = self._clock_s()
        return now_s - self._booked_s.setdefault(producer.boot_id, now_s) >= COMPLETION_WAIT_S

    def _delete(self, journals: list[Journal]) -> None:
        for journal in journals:
            try:
                journal.delete_forgotten()
            except OSError as error:
                journal.note_failure(error)

    def _producers(self) -> list[Producer]:
        return [self._own, *(producer for producer, _ in self._adopted.values())]

    def _find(self, boot_id: int) -> Producer | None:
        return next((producer for producer in self._producers() if producer.boot_id == boot_id), None)


def remove(folder: SpoolFolder, journal: Journal) -> None:
    """Delete a spool in which everything is booked; where the disk does not let it go, the next process tries again."""
    try:
        journal.remove()
        folder.remove()
    except OSError as error:
        logger.error("a spool that is booked cannot be deleted folder=%s error=%s", folder.path, error)
        folder.release()
