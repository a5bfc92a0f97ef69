"""The parts that keep usage in one process, built and connected."""

from dataclasses import dataclass
from pathlib import Path

from dataplane.metering.custody import Custody, remove
from dataplane.metering.emitter import Emitter, OpenAttempts, SpoolBounds
from dataplane.metering.outbox import Outbox
from dataplane.metering.producer import Producer
from dataplane.metering.spool.folders import SpoolFolder, make_folder, make_root
from dataplane.metering.spool.journal import Journal


@dataclass(frozen=True, slots=True)
class UsageRoom:
    """Where the events of this process are made and kept."""

    folder: SpoolFolder
    outbox: Outbox
    emitter: Emitter
    custody: Custody

    @classmethod
    def build(
        cls, root: Path, boot_id: int, *, has_ledger: bool, bounds: SpoolBounds, is_synced: bool = False
    ) -> "UsageRoom":
        """`is_synced`: the journal's `sync` will be called. Raises SpoolError when `root` cannot be used."""
        make_root(root)
        folder = make_folder(root, boot_id)
        opens = OpenAttempts()
        producer = Producer(boot_id, Journal(folder.path, opens, is_synced=is_synced))
        outbox = Outbox()
        return cls(
            folder=folder,
            outbox=outbox,
            emitter=Emitter(producer, outbox, opens, bounds=bounds),
            custody=Custody(producer, outbox, root, has_ledger=has_ledger),
        )

    def close(self) -> int:
        """Let the spool go: deleted when everything in it is booked; the number of events that are not."""
        producer = self.emitter.producer
        producer.journal.retry()
        left = producer.unacknowledged_events
        if left:
            producer.journal.close()
            self.folder.release()
        else:
            remove(self.folder, producer.journal)
        self.custody.close()
        return left
