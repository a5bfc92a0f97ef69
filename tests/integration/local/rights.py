"""Other users, for tests that root runs."""

import os
import pwd
import shutil
import stat
import sys
from pathlib import Path

import pytest

ORDINARY_UID = pwd.getpwnam("nobody").pw_uid
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root does can be seen by root only")


def owner_of(pid: int) -> int:
    """The user that a process runs as."""
    return Path(f"/proc/{pid}").stat().st_uid


def find_python_for_all() -> str:
    """An interpreter that a user other than root can run."""
    found = [shutil.which(f"python3.{minor}", path="/usr/local/bin:/usr/bin") for minor in (11, 12, 13, 14)]
    for python in (sys.executable, *filter(None, found)):
        if all(folder.stat().st_mode & stat.S_IXOTH for folder in Path(python).resolve().parents):
            return python
    pytest.fail("no Python 3.11+ is installed where an ordinary user could run it")
