"""Child processes that end with their parent."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_SHIM = Path(__file__).with_name("shim.py")
_POLL_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """The user and group that a child runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `env` is the whole environment and may hold secrets: it stays out of repr.

    folder: the child's working directory, entered before `identity` is taken on.
    death_signal: what the kernel sends the child when its parent ends.
    log: the file that stdout and stderr are appended to (created 0600); None discards them.
    text: what the child reads from stdin, at most 4 KiB; it may hold secrets too.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    folder: Path
    death_signal: signal.Signals = signal.SIGKILL
    identity: Identity | None = None
    log: Path | None = None
    text: str = field(default="", repr=False)


class Child:
    """A running command, in a session of its own so that a terminal's Ctrl-C does not reach it.

    The kernel ties a child to the thread that spawned it: spawn from the main thread only.
    """

    def __init__(self, command: Command) -> None:
        identity = "-" if command.identity is None else f"{command.identity.uid}:{command.identity.gid}"
        tie = [str(os.getpid()), str(int(command.death_signal)), identity, str(command.folder)]
        output, source = _open_log(command.log), _open_input(command.text)
        try:
            self._popen = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", str(_SHIM), *tie, *command.argv],
                env=dict(command.env),
                stdin=source,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            for stream in (output, source):
                if not isinstance(stream, int):
                    stream.close()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where a signal ended it."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal the child; nothing happens if it has ended."""
        self._popen.send_signal(number)

    async def wait(self) -> int:
        """Wait for the end and return the exit code."""
        descriptor = _open_pidfd(self.pid) if self.exit_code is None else None
        if descriptor is not None:
            try:
                await _wait_readable(descriptor)
            finally:
                os.close(descriptor)
        while (code := self.exit_code) is None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_INTERVAL_S)
        return code

    async def stop(self, *steps: tuple[signal.Signals, float]) -> int:
        """Send each signal in turn, waiting up to its number of seconds for the end; SIGKILL comes last by itself."""
        for number, timeout_s in steps:
            self.send(number)
            try:
                async with asyncio.timeout(timeout_s):
                    return await self.wait()
            except TimeoutError:
                continue
        self.send(signal.SIGKILL)
        return await self.wait()


def _open_log(log: Path | None) -> IO[bytes] | int:
    if log is None:
        return subprocess.DEVNULL
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)


def _open_input(text: str) -> IO[bytes] | int:
    if not text:
        return subprocess.DEVNULL
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(text.encode())
    return os.fdopen(reader, "rb")


def _open_pidfd(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


async def _wait_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
