"""The spool of one producer: segment files that are appended to, and forgotten from the oldest on."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataplane.metering.spool.records import RecordKind, marked_sequence, read_records, write_mark, write_record
from tollway.usage.v1.usage_pb2 import UsageEvent

SEGMENT_BYTES: Final = 8 << 20
SUFFIX: Final = ".spool"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
_MODE: Final = 0o600

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Segment:
    """One file. It holds the events of sequence numbers from `first` to `last`, 0 while there are none."""

    path: Path
    size_bytes: int = 0
    first: int = 0
    last: int = 0


class Journal:
    """Appends inline; a record is safe from the death of the process once `write_open` or `write_close` returns.

    opens: the OPEN records that still stand; every new segment repeats them, so that older ones may go.
    A record that the disk refuses is kept, and tried again by `retry`, before any later one; `is_failing` until then.
    """

    def __init__(self, folder: Path, opens: Callable[[], Iterable[bytes]], segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._opens = opens
        self._segment_bytes = segment_bytes
        self._segments: list[Segment] = []
        self._descriptor = -1
        self._number = 0
        self._unwritten: list[tuple[RecordKind, bytes, int]] = []
        self._remembered: tuple[tuple[Path, int] | None, list[tuple[int, bytes]]] = (None, [])
        self.failures = 0

    @classmethod
    def reopen(cls, folder: Path) -> "Journal":
        """The journal of a process that is gone, to read and to end. Raises OSError."""
        journal = cls(folder, lambda: ())
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            sequences = [number for number, _ in read_events(path)]
            last = max(sequences, default=max(journal.last_sequence, read_mark(path)))
            journal._segments.append(Segment(path, path.stat().st_size, min(sequences, default=0), last))
            journal._number = int(path.stem)
        return journal

    def paths(self) -> list[Path]:
        """The segments, from the oldest on."""
        return [segment.path for segment in self._segments]

    @property
    def last_sequence(self) -> int:
        return self._segments[-1].last if self._segments else 0

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def is_failing(self) -> bool:
        return bool(self._unwritten)

    @property
    def size_bytes(self) -> int:
        return sum(segment.size_bytes for segment in self._segments)

    def write_open(self, payload: bytes) -> None:
        """Raises OSError when the disk refuses it; then nothing was written."""
        if self._unwritten:
            raise OSError("the spool cannot be written")
        self._append(RecordKind.OPEN, payload, 0)

    def write_close(self, payload: bytes, sequence: int) -> None:
        """Events come in order of sequence number."""
        if not self._unwritten:
            try:
                self._append(RecordKind.CLOSE, payload, sequence)
            except OSError as error:
                self._note_failure(error)
            else:
                return
        self._unwritten.append((RecordKind.CLOSE, payload, sequence))

    def retry(self) -> None:
        """Write what the disk refused before."""
        while self._unwritten:
            try:
                self._append(*self._unwritten[0])
            except OSError as error:
                self._note_failure(error)
                return
            self._unwritten.pop(0)
            if not self._unwritten:
                logger.info("the spool can be written again folder=%s", self._folder)

    def forget(self, through: int) -> None:
        """Delete the oldest segments as far as all their events have sequence numbers up to `through`."""
        while len(self._segments) > 1 and self._segments[0].last <= through:
            self._segments.pop(0).path.unlink(missing_ok=True)

    def oldest_forgettable(self) -> int:
        """The sequence number up to which `forget` must go to delete one segment; 0 when there is but one."""
        return self._segments[0].last if len(self._segments) > 1 else 0

    def read(self, first: int, last: int) -> list[bytes]:
        """The serialised events of that range that are still here, in order; may be called in a thread."""
        found: dict[int, bytes] = {}
        for segment in list(self._segments):
            if segment.last and segment.first <= last and segment.last >= first:
                found.update((n, event) for n, event in self._events_of(segment) if first <= n <= last)
        found.update((n, event) for _, event, n in list(self._unwritten) if first <= n <= last)
        return [found[number] for number in sorted(found)]

    def _events_of(self, segment: Segment) -> list[tuple[int, bytes]]:
        """Those of one segment, which are remembered: what follows is often asked for next."""
        key = (segment.path, segment.size_bytes)
        if self._remembered[0] != key:
            self._remembered = (key, list(read_events(segment.path)))
        return self._remembered[1]

    def sync(self) -> None:
        """Have the disk keep what was written; may be called in a thread. Raises OSError."""
        if self._descriptor >= 0:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Delete all segments."""
        self.close()
        for segment in self._segments:
            segment.path.unlink(missing_ok=True)
        self._segments.clear()

    def _append(self, kind: RecordKind, payload: bytes, sequence: int) -> None:
        if self._descriptor < 0 or self._segments[-1].size_bytes >= self._segment_bytes:
            self._begin_segment()
        segment = self._segments[-1]
        segment.size_bytes += _write_all(self._descriptor, segment.size_bytes, write_record(kind, payload))
        if sequence:
            segment.first = segment.first or sequence
            segment.last = sequence

    def _begin_segment(self) -> None:
        """Raises OSError, and then goes on with the segment before."""
        segment = Segment(self._folder / f"{self._number + 1:010d}{SUFFIX}")
        last = self._segments[-1].last if self._segments else 0
        descriptor = os.open(segment.path, _FLAGS, _MODE)
        opens = [write_record(RecordKind.OPEN, payload) for payload in self._opens()]
        try:
            segment.size_bytes = _write_all(descriptor, 0, b"".join((write_mark(last), *opens)))
        except OSError:
            os.close(descriptor)
            segment.path.unlink(missing_ok=True)
            raise
        self.close()
        self._number += 1
        self._descriptor = descriptor
        segment.last = last
        self._segments.append(segment)

    def _note_failure(self, error: OSError) -> None:
        self.failures += 1
        if not self._unwritten:
            logger.error("the spool cannot be written, new calls are refused error=%s", error.strerror or error)


def read_events(path: Path) -> Iterator[tuple[int, bytes]]:
    """Sequence number and bytes of each event that a segment holds; none when it is gone."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for record in read_records(data):
        if record.kind is RecordKind.CLOSE:
            yield UsageEvent.FromString(record.payload).sequence, record.payload


def read_mark(path: Path) -> int:
    """The last sequence number that was given before a segment; 0 when it does not say."""
    first = next(read_records(path.read_bytes()), None)
    return marked_sequence(first.payload) if first is not None and first.kind is RecordKind.MARK else 0


def _write_all(descriptor: int, size_bytes: int, data: bytes) -> int:
    """Appends `data`, or puts the file back to `size_bytes` and raises OSError."""
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:] if written else data)
    except OSError:
        if written:
            os.ftruncate(descriptor, size_bytes)
        raise
    return written
