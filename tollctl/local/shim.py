"""Becomes another program that cannot outlive its parent.

Run as a script by an isolated interpreter, before anything heavy is imported:

    python -I -S shim.py PARENT_PID DEATH_SIGNAL UID:GID|- FOLDER PROGRAM [ARGUMENT]...

It enters FOLDER with the rights it was started with, gives up those rights for UID:GID (`-` keeps them), asks the
kernel for DEATH_SIGNAL when the parent ends, and replaces itself by PROGRAM. The order matters: entering first lets an
unprivileged server work in a folder below one that it may not traverse, and a change of credentials clears the
request.
On a system without prctl the program runs without that request.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def _give_up_rights(identity: str) -> None:
    uid, gid = (int(part) for part in identity.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _tie_to_parent(parent_pid: int, death_signal: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        raise SystemExit("the parent ended before its child could be tied to it")


def main(arguments: list[str]) -> None:
    parent_pid, death_signal, identity, folder, program, *rest = arguments
    os.chdir(folder)
    if identity != "-":
        _give_up_rights(identity)
        os.umask(0o077)
    if sys.platform == "linux":
        _tie_to_parent(int(parent_pid), int(death_signal))
        if identity != "-":
            ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execv(program, [program, *rest])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
