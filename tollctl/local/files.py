"""Private files: owner-only, replaced atomically."""

import os
import secrets
from pathlib import Path


def make_private_folder(folder: Path) -> Path:
    """Create folder (and missing parents) with mode 0700; an existing folder keeps its mode."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write text with mode 0600 so that a reader sees either the old content or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_or_create_private(path: Path, fresh: str) -> str:
    """Return what path holds; where it does not exist, keep `fresh` there and return that."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        write_private(path, fresh)
        return fresh
