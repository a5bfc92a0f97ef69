"""Log files of the services: one each, appended to by the service itself."""

import asyncio
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

_TAIL_BYTES = 8_192
_READ_BYTES = 65_536
_SIZE_MAX_BYTES = 64 * 1024 * 1024
_POLL_INTERVAL_S = 0.1
_EXPECTED = "Plaintext passwords detected"
_LOUD = re.compile(r"\b(?:WRN|ERR|FTL|WARNING|ERROR|FATAL|PANIC)\b")


def quote_last_line(log: Path) -> str:
    """The last line that a service wrote, and where the rest is."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    return f"{lines[-1].strip() if lines else 'it wrote nothing'} (see {log})"


def measure_log(log: Path) -> int:
    """Size in bytes; 0 where there is none yet."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def is_loud(line: str) -> bool:
    """Whether a server's line is a warning or worse. The password of NATS stands in a file of mode 0600."""
    return _LOUD.search(line) is not None and _EXPECTED not in line


async def follow_log(log: Path, emit: Callable[[str], None]) -> None:
    """Emit every whole line that is appended to log from here on; a log beyond 64 MiB moves to LOG.1.

    The service writes with O_APPEND: it goes on at the start of the emptied file.
    """
    place = measure_log(log)
    rest = b""
    while True:
        await asyncio.sleep(_POLL_INTERVAL_S)
        grown = _read_from(log, place)
        place += len(grown)
        *lines, rest = (rest + grown).split(b"\n")
        for line in lines:
            emit(line.decode("utf-8", "replace").rstrip())
        rest = rest[-_READ_BYTES:]
        if place > _SIZE_MAX_BYTES:
            await asyncio.to_thread(_put_aside, log)
            place = 0


def _read_from(log: Path, place: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(place)
            return file.read(_READ_BYTES)
    except FileNotFoundError:
        return b""


def _put_aside(log: Path) -> None:
    shutil.copy2(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
