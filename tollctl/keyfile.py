"""A file for secrets that are shown once: owner-only, never written over."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tollctl.errors import CommandError


class KeyFile:
    """A new, empty file with mode 0600, held open."""

    def __init__(self, path: Path) -> None:
        """Raises CommandError where path exists already or cannot be made."""
        self.path = path
        self.is_written = False
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise CommandError(f"{path} exists already: name a new file, it is not written over") from None
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error.strerror}") from None

    def write(self, secrets: Mapping[str, str]) -> None:
        """Write a JSON object of key names and secrets. Raises OSError."""
        content = json.dumps(dict(secrets), indent=2) + "\n"
        with os.fdopen(os.dup(self._descriptor), "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.is_written = True

    def close(self) -> None:
        """Close it, and remove it where nothing was written."""
        os.close(self._descriptor)
        if not self.is_written:
            self.path.unlink(missing_ok=True)


@contextmanager
def reserved_key_file(path: Path | None) -> Iterator[KeyFile | None]:
    """The file, made before anything that cannot be undone; None for None."""
    if path is None:
        yield None
        return
    file = KeyFile(path)
    try:
        yield file
    finally:
        file.close()
