"""The spool of one producer: segment files that are appended to, and forgotten from the oldest on."""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from dataplane.metering.spool.records import RecordKind, write_mark, write_record
from dataplane.metering.spool.segments import Segment

SEGMENT_BYTES: Final = 8 << 20
SUFFIX: Final = ".spool"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
_MODE: Final = 0o600

logger = logging.getLogger(__name__)


class Journal:
    """Appends inline; a record is safe from the death of the process once `write_open` or `write_close` returns.

    opens: the OPEN records that still stand; every new segment repeats them, so that older ones may go.
    is_synced: `sync` will be called now and then, and files are left to it to close.
    segments: what the folder holds already, from the oldest on.
    A record that the disk refuses is kept, and tried again by `retry`, before any later one; `is_failing` until then.
    """

    def __init__(
        self,
        folder: Path,
        opens: Callable[[], Iterable[bytes]],
        segment_bytes: int = SEGMENT_BYTES,
        *,
        is_synced: bool = False,
        segments: Sequence[Segment] = (),
    ) -> None:
        self._folder = folder
        self._opens = opens
        self._segment_bytes = segment_bytes
        self._is_synced = is_synced
        self._segments = list(segments)
        self._descriptor = -1
        self._number = max((int(segment.path.stem) for segment in segments), default=0)
        self._is_torn = False
        self._is_refused = False
        self._unwritten: list[tuple[RecordKind, bytes, int]] = []
        self._syncing = threading.Lock()
        self._full: list[int] = []
        self._forgotten: list[Path] = []
        self._is_folder_synced = True
        self.size_bytes = sum(segment.size_bytes for segment in segments)
        self.failures = 0

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

    def write_open(self, payload: bytes) -> None:
        """Raises OSError when the disk refuses it; then nothing was written."""
        if self._unwritten:
            raise OSError("the spool cannot be written")
        try:
            self._append(RecordKind.OPEN, payload, 0)
        except OSError as error:
            self.note_failure(error)
            raise

    def write_close(self, payload: bytes, sequence: int) -> None:
        """Events come in order of sequence number."""
        if not self._unwritten:
            try:
                self._append(RecordKind.CLOSE, payload, sequence)
            except OSError as error:
                self.note_failure(error)
            else:
                return
        self._unwritten.append((RecordKind.CLOSE, payload, sequence))

    def retry(self) -> None:
        """Write what the disk refused before."""
        while self._unwritten:
            try:
                self._append(*self._unwritten[0])
            except OSError as error:
                self.note_failure(error)
                return
            self._unwritten.pop(0)

    def forget(self, through: int) -> None:
        """Let go of the oldest segments as far as all their events have sequence numbers up to `through`.

        `delete_forgotten` deletes them. Nothing goes while the disk refuses an event: what stands for it may be in any
        of them.
        """
        while len(self._segments) > 1 and self._segments[0].last <= through and not self._unwritten:
            segment = self._segments.pop(0)
            self.size_bytes -= segment.size_bytes
            self._forgotten.append(segment.path)

    def delete_forgotten(self) -> None:
        """May be called in a thread, for a disk takes its time over large files. Raises OSError."""
        while self._forgotten:
            self._forgotten[0].unlink(missing_ok=True)
            del self._forgotten[0]

    def oldest_forgettable(self) -> int:
        """The sequence number up to which `forget` must go to delete one segment; 0 when there is but one."""
        return self._segments[0].last if len(self._segments) > 1 else 0

    def read(self, first: int, last: int) -> list[bytes]:
        """The serialised events of that range that are still here, in order; may be called in a thread.

        Raises OSError.
        """
        found: dict[int, bytes] = {}
        for segment in list(self._segments):
            if segment.holds_some(first, last):
                found.update(segment.read(first, last))
        found.update((n, event) for _, event, n in list(self._unwritten) if first <= n <= last)
        return [found[number] for number in sorted(found)]

    def sync(self) -> None:
        """Have the disk keep what was written; may be called in a thread. Raises OSError."""
        with self._syncing:
            if not self._is_folder_synced:
                self._is_folder_synced = True
                _sync_folder(self._folder)
            while self._full:
                descriptor = self._full.pop(0)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
            if self._descriptor >= 0:
                os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Waits for a `sync` that is under way."""
        with self._syncing:
            for descriptor in (*self._full, self._descriptor):
                if descriptor >= 0:
                    os.close(descriptor)
            self._full.clear()
            self._descriptor = -1

    def remove(self) -> None:
        """Delete all segments; may be called in a thread. Raises OSError."""
        self.close()
        self._forgotten += [segment.path for segment in self._segments]
        self._segments.clear()
        self.size_bytes = 0
        self.delete_forgotten()

    def note_failure(self, error: OSError) -> None:
        """Count what the disk refused; it is said once, until something is written again."""
        self.failures += 1
        if not self._is_refused:
            self._is_refused = True
            logger.error("the spool cannot be written error=%s folder=%s", error.strerror or error, self._folder)

    def _append(self, kind: RecordKind, payload: bytes, sequence: int) -> None:
        if self._descriptor < 0 or self._is_torn or self._segments[-1].size_bytes >= self._segment_bytes:
            self._begin_segment()
        segment = self._segments[-1]
        offset = segment.size_bytes
        written = self._write(self._descriptor, offset, write_record(kind, payload))
        if self._is_refused:
            self._is_refused = False
            logger.info("the spool can be written again folder=%s", self._folder)
        segment.size_bytes = offset + written
        self.size_bytes += written
        if sequence:
            segment.note(sequence, offset)

    def _begin_segment(self) -> None:
        """Raises OSError; the next call tries again, under another name."""
        last = self._segments[-1].last if self._segments else 0
        head = b"".join((write_mark(last), *(write_record(RecordKind.OPEN, payload) for payload in self._opens())))
        self._number += 1
        path = self._folder / f"{self._number:010d}{SUFFIX}"
        descriptor = os.open(path, _FLAGS, _MODE)
        try:
            size_bytes = self._write(descriptor, 0, head)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._end_segment()
        self._descriptor = descriptor
        self._is_torn = False
        self._is_folder_synced = not self._is_synced
        self._segments.append(Segment(path, size_bytes, last=last))
        self.size_bytes += size_bytes

    def _end_segment(self) -> None:
        if self._descriptor < 0:
            return
        if self._is_synced:
            self._full.append(self._descriptor)
        else:
            os.close(self._descriptor)

    def _write(self, descriptor: int, size_bytes: int, data: bytes) -> int:
        """Appends `data`, or puts the file back to `size_bytes` and raises OSError.

        What cannot be put back ends the segment: nothing may follow half a record.
        """
        written = os.write(descriptor, data)
        try:
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError:
            if not _cut_back(descriptor, size_bytes):
                self._is_torn = True
            raise
        return written


def _cut_back(descriptor: int, size_bytes: int) -> bool:
    try:
        os.ftruncate(descriptor, size_bytes)
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
