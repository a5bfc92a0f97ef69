"""Ports on the loopback interface."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Collection
from pathlib import Path

from tollctl.local.errors import LocalError, PortTaken
from tollctl.local.files import write_private

LOOPBACK = "127.0.0.1"
PORTS_VARIABLE = "TOLLWAY_FREE_PORTS"
"""Where free ports are looked for, e.g. "20000-20999": for firewalls, and for stacks that start at the same time."""
_LOWEST_PORT = 15_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_LOW_DEFAULT = 32_768


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


async def claim_port(port: int, owner: str, timeout_s: float = 3.0) -> None:
    """Wait until port is free, as a dying process holds its port for a moment. Raises PortTaken after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while not is_free(port):
        if time.monotonic() >= deadline:
            raise PortTaken(f"port {port} for {owner} is in use: stop what listens there")
        await asyncio.sleep(0.02)


def find_free_port(avoid: Collection[int] = ()) -> int:
    """A free port, none of `avoid`, in the range of PORTS_VARIABLE, else below that of outgoing connections.

    A service that is started again finds such a port free: no outgoing connection can have been given it meanwhile.
    Raises LocalError when there is none.
    """
    lowest, highest = _free_range()
    choose = random.SystemRandom()
    for _ in range(200):
        port = choose.randint(lowest, highest)
        if port not in avoid and is_free(port):
            return port
    raise LocalError(f"no free port found on {LOOPBACK} between {lowest} and {highest}; close some listeners")


def recall_port(memory: Path, avoid: Collection[int] = ()) -> int:
    """The port kept in the file `memory` if it is still free and none of `avoid`, else a free one, which is kept."""
    port = remembered_port(memory)
    if port and port not in avoid and is_free(port):
        return port
    port = find_free_port(avoid)
    write_private(memory, str(port))
    return port


def remembered_port(memory: Path) -> int:
    """What the file `memory` holds; 0 for nothing."""
    try:
        return int(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0


def _free_range() -> tuple[int, int]:
    """The lowest and the highest port to choose from."""
    asked = os.environ.get(PORTS_VARIABLE, "")
    if not asked:
        return _LOWEST_PORT, max(_ephemeral_low(), _LOWEST_PORT + 1_000) - 1
    lowest, _, highest = asked.partition("-")
    if not (lowest.isdecimal() and highest.isdecimal() and 0 < int(lowest) <= int(highest) < 1 << 16):
        raise LocalError(f"{PORTS_VARIABLE}: {asked!r} is no range of ports; write LOWEST-HIGHEST, e.g. 20000-20999")
    return int(lowest), int(highest)


def _ephemeral_low() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL_LOW_DEFAULT
