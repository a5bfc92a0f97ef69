"""The data directory: one stack at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tollctl.local.errors import DataDirBusy, LocalError
from tollctl.local.files import make_private_folder


@contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[Path]:
    """Make data_dir (0700) if it is not there and hold it for this process; yields its absolute path.

    The kernel lets go of the lock when the process ends, however it ends. Raises DataDirBusy, or LocalError where the
    folder cannot be used.
    """
    folder = data_dir.expanduser().absolute()
    try:
        make_private_folder(folder)
        ignored = folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n", encoding="ascii")
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LocalError(f"cannot use {folder}: {error.strerror}; choose another --data-dir") from None
    try:
        _take(descriptor, folder)
        yield folder
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise DataDirBusy(
            f"tollctl up already runs on {folder} (process {owner}): stop it, or choose another --data-dir"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
