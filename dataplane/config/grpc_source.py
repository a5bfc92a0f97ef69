"""Configuration from the control plane's feed: one stream after the other, for ever."""

import asyncio
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from dataplane.config.applier import ConfigApplier
from dataplane.config.assembly import FeedBehind, FeedProtocolError
from dataplane.config.endpoints import Endpoint, EndpointError, FeedTls, open_channel, resolve
from dataplane.config.holder import SnapshotHolder
from dataplane.config.session import FeedClient, FeedLost, FeedSession
from dataplane.retries import doubling_delays

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 1.0
BEHIND_GRACE_S = 30.0
_STEADY_S = 5.0
_TOKEN_REFUSALS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """`addresses` are HOST:PORT, tried in turn with all addresses of each name; without `tls` dialled in plaintext.

    An older state than the one in force is refused for `behind_grace_s`, in which a replica that lags catches up;
    when nothing newer came in that time, the database itself was put back.
    """

    addresses: tuple[str, ...]
    client: FeedClient
    tls: FeedTls | None = None
    behind_grace_s: float = BEHIND_GRACE_S


def retry_delays() -> Iterator[float]:
    """Seconds before each further round of attempts: short at first, then doubling, up to half of each by chance."""
    return doubling_delays(FIRST_RETRY_S, LONGEST_RETRY_S)


class GrpcSource:
    """Keeps the holder's configuration up with the feed, through `applier`."""

    def __init__(self, settings: FeedSettings, applier: ConfigApplier, holder: SnapshotHolder) -> None:
        self._settings = settings
        self._applier = applier
        self._holder = holder
        self._reported: set[str] = set()
        self._behind_since_s: float | None = None

    async def run(self) -> None:
        """Runs until cancelled. What goes wrong with the feed is logged once per outage and tried again."""
        delays = retry_delays()
        while True:
            was_steady = False
            for address in self._settings.addresses:
                was_steady |= await self._try_name(address)
            if was_steady:
                delays = retry_delays()
            await asyncio.sleep(next(delays))

    async def _try_name(self, address: str) -> bool:
        """Follows a stream of each address of a name in turn; whether any of them was steady."""
        was_steady = False
        try:
            for endpoint in await resolve(address, random.shuffle):
                was_steady |= await self._try_endpoint(endpoint)
        except EndpointError as error:
            self._report(f"{address}: {error}")
        return was_steady

    async def _try_endpoint(self, endpoint: Endpoint) -> bool:
        loop = asyncio.get_running_loop()
        session = FeedSession(self._settings.client, self._applier, self._holder, self._note_in_force)
        channel = open_channel(endpoint, self._settings.tls)
        try:
            await session.follow(channel, accepts_older=self._is_long_behind(loop.time()))
        except FeedBehind as behind:
            if self._behind_since_s is None:
                self._behind_since_s = loop.time()
            self._report(f"{endpoint.shown}: {behind}")
        except FeedProtocolError as error:
            self._report(f"{endpoint.shown}: {error}")
        except FeedLost as lost:
            self._report(f"{endpoint.shown}: {_advice(lost)}")
        finally:
            await channel.close(None)
        was_steady = session.began_s is not None and loop.time() - session.began_s >= _STEADY_S
        if was_steady:
            self._behind_since_s = None
        return was_steady

    def _is_long_behind(self, now_s: float) -> bool:
        """Whether older states came for so long that the database was put back rather than a replica lags."""
        return self._behind_since_s is not None and now_s - self._behind_since_s >= self._settings.behind_grace_s

    def _note_in_force(self) -> None:
        """Called when a stream stands by what is in force: the outage, if there was one, is over."""
        if self._reported:
            self._reported.clear()
            logger.info("config feed is back revision=%d", self._holder.state.cursor.revision)

    def _report(self, problem: str) -> None:
        if problem not in self._reported:
            self._reported.add(problem)
            logger.warning("config feed is away: %s", problem)


def _advice(lost: FeedLost) -> str:
    if lost.code in _TOKEN_REFUSALS:
        return f"{lost}; TOLLWAY_PLANE_TOKEN must be the same on both planes"
    return str(lost)
