"""Folders of a spool: each belongs to one process, which holds a lock on it for as long as it lives."""

import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tollway.kernel.usage import BOOT_ID_BITS

_LOCK_NAME: Final = "lock"
_UNLOCKED_PREFIX: Final = "new-"
_REMOVED_PREFIX: Final = "old-"
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class SpoolError(Exception):
    """The spool's place cannot be used; the text names it and says what to do."""


@dataclass(slots=True)
class SpoolFolder:
    """A folder that this process alone may use until `release`."""

    path: Path
    boot_id: int
    descriptor: int

    def release(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def remove(self) -> None:
        """Delete the folder, which holds nothing any more but its lock. Raises OSError."""
        # Under that name nobody takes it over while it is half gone.
        removed = self.path.rename(self.path.with_name(f"{_REMOVED_PREFIX}{self.path.name}"))
        (removed / _LOCK_NAME).unlink(missing_ok=True)
        removed.rmdir()
        self.release()


def make_root(root: Path) -> None:
    """Raises SpoolError when it cannot be made, is not ours, or is open to others."""
    try:
        root.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        status = root.lstat()
    except OSError as error:
        raise SpoolError(f"{root} cannot be made: {error.strerror}; name a folder that can be written") from None
    if not stat.S_ISDIR(status.st_mode):
        raise SpoolError(f"{root} is not a folder; name one")
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise SpoolError(f"{root} cannot be written; name a folder that can, or change its mode")
    if status.st_uid == os.getuid() and status.st_mode & 0o002:
        raise SpoolError(f"{root} can be written by everyone; take that right away with chmod o-w")


def make_folder(root: Path, boot_id: int) -> SpoolFolder:
    """The folder of a process that starts. Raises SpoolError."""
    path, unlocked = root / f"{boot_id:x}", root / f"{_UNLOCKED_PREFIX}{boot_id:x}"
    try:
        unlocked.mkdir(mode=_FOLDER_MODE)
        folder = _lock(unlocked, boot_id)
        if folder is None:
            raise SpoolError(f"{unlocked} cannot be locked; name a folder on a disk that knows locks")
        # Nobody takes over a folder of the other name, so that it is locked from the moment on that others see it.
        unlocked.rename(path)
    except OSError as error:
        raise SpoolError(f"{path} cannot be made: {error.strerror}; name a folder that can be written") from None
    return SpoolFolder(path, boot_id, folder.descriptor)


def abandoned_folders(root: Path) -> Iterator[SpoolFolder]:
    """The folders whose process is gone, each locked by this one now. Raises OSError when `root` cannot be read."""
    for path in sorted(root.iterdir()):
        boot_id = _boot_id_of(path)
        folder = _lock(path, boot_id) if boot_id else None
        if folder is not None:
            yield folder


def _boot_id_of(path: Path) -> int:
    """0 for what is no folder of a process."""
    try:
        boot_id = int(path.name, 16)
    except ValueError:
        return 0
    is_own_name = path.name == f"{boot_id:x}" and 0 < boot_id < 1 << BOOT_ID_BITS
    return boot_id if is_own_name and path.is_dir() and not path.is_symlink() else 0


def _lock(path: Path, boot_id: int) -> SpoolFolder | None:
    """None when another process holds it, or has just deleted it."""
    try:
        descriptor = os.open(path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = os.fstat(descriptor).st_nlink > 0
    except OSError:
        is_there = False
    if not is_there:
        os.close(descriptor)
        return None
    return SpoolFolder(path, boot_id, descriptor)
