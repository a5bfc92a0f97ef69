"""How a data plane stops taking calls without cutting or refusing one that has begun."""

import asyncio
import logging
import time
from typing import Final

from dataplane.api_server import ApiServer
from dataplane.app import Gateway
from dataplane.ingress.presence import ClientPresence
from dataplane.settings import DrainSettings

QUIET_S: Final = 0.25
CUT_S: Final = 2.0
_LOOK_INTERVAL_S: Final = 0.01

logger = logging.getLogger(__name__)


async def drain(gateway: Gateway, presence: ClientPresence, server: ApiServer, bounds: DrainSettings) -> int:
    """Fail readiness, serve on for the delay, stop accepting, let calls end; the number of calls that had to be cut.

    A call that is cut is settled, and its client gets an error.
    """
    gateway.is_draining = True
    logger.info("draining delay_s=%g timeout_s=%g calls=%d", bounds.delay_s, bounds.timeout_s, gateway.in_flight)
    await asyncio.sleep(bounds.delay_s)
    await server.stop_accepting()
    await _until_quiet(gateway, bounds.timeout_s)
    cut_calls = gateway.in_flight
    if cut_calls:
        logger.error("calls are cut, for they did not end in time calls=%d", cut_calls)
        presence.end_all("This data plane is stopping. Try again.")
        await _until_quiet(gateway, CUT_S)
    return cut_calls


async def _until_quiet(gateway: Gateway, timeout_s: float) -> None:
    """Wait until no call has run for QUIET_S: a request may be on its way on a connection that seems idle."""
    deadline_s = time.monotonic() + timeout_s
    quiet_since_s = time.monotonic()
    while (now_s := time.monotonic()) - quiet_since_s < QUIET_S:
        if gateway.in_flight:
            if now_s >= deadline_s:
                return
            quiet_since_s = now_s
        await asyncio.sleep(_LOOK_INTERVAL_S)
