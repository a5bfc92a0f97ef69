"""The truth log: what the provider did, on disk before anyone can have seen it."""

import asyncio
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import orjson

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_MODE = 0o600


class Ending(StrEnum):
    """How far a call is: RUNNING until it is COMPLETED, ABORTED on the way, or FAILED with an error status."""

    RUNNING = "running"
    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TruthRecord:
    """One call as it is once what follows this record has gone out; the last record of a call is the truth of it.

    call: unique over all processes that write to one log. `user` is the body's field, `request_id` the header
    x-request-id as it arrived; "" where there was none. Tokens are words; `reports_usage` says whether the answer tells
    them. time_ms: Unix milliseconds at which the record was made.
    """

    call: str
    user: str
    request_id: str
    model: str
    stream: bool
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    reports_usage: bool
    status: int
    ending: Ending
    time_ms: int

    def line(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)


class TruthLog:
    """Appends records as lines of JSON; those that come at the same time share one write and one fsync.

    A line that a killed process left torn is ended, so that what follows can be read. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, _FLAGS, _MODE)
        if _is_torn(path):
            os.write(self._descriptor, b"\n")
        self._pending: list[bytes] = []
        self._written: asyncio.Future[None] | None = None
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, record: TruthRecord) -> None:
        """Returns once the disk has the record. Raises OSError when it refuses it."""
        await asyncio.shield(self.note(record))

    def note(self, record: TruthRecord) -> asyncio.Future[None]:
        """Takes a record; the future is done once the disk has it."""
        self._pending.append(record.line())
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
            self._written.add_done_callback(asyncio.Future.exception)
        written = self._written
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush(), name="truth log")
        return written

    async def close(self) -> None:
        """Writes what is left."""
        while self._flushing is not None:
            await asyncio.wait((self._flushing,))
        os.close(self._descriptor)

    async def _flush(self) -> None:
        while self._written is not None:
            lines, self._pending = self._pending, []
            written, self._written = self._written, None
            try:
                await asyncio.to_thread(self._append, b"".join(lines))
            except OSError as error:
                written.set_exception(error)
            else:
                written.set_result(None)
        self._flushing = None

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fdatasync(self._descriptor)


def _is_torn(path: Path) -> bool:
    with path.open("rb") as log:
        if log.seek(0, os.SEEK_END) == 0:
            return False
        log.seek(-1, os.SEEK_END)
        return log.read(1) != b"\n"
