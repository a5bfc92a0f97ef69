"""The HTTP server of the apps' API: aiohttp's, with bounds, and with nothing of a request in what it answers itself."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

BACKLOG: Final = 1024
_KEEP_ALIVE_S: Final = 75.0
_MAX_HEADER_BYTES: Final = 8190
_CUT_CALLS_TIMEOUT_S: Final = 2.0
_INTERNAL_ERROR: Final = 500
_LIMITS: Final[dict[str, Any]] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": _KEEP_ALIVE_S,
    "max_field_size": _MAX_HEADER_BYTES,
    "max_line_size": _MAX_HEADER_BYTES,
}

logger = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class BareErrorHandler(web.RequestHandler):
    """Answers what is not HTTP with a status alone: aiohttp's own answer and log line quote its bytes."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already, so the connection can only be closed")
        if status == _INTERNAL_ERROR:
            logger.error("a request failed outside its handler", exc_info=exc)
        response = web.Response(status=status)
        response.force_close()
        return response


class ApiServer:
    """Serves requests by `handler` on a listening socket; `tls` None is plain HTTP."""

    def __init__(self, handler: Handler, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._runner = web.ServerRunner(
            web.Server(handler, handler_cancellation=False), shutdown_timeout=_CUT_CALLS_TIMEOUT_S
        )
        self._listener = listener
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        await self._runner.setup()
        connections = self._runner.server
        assert connections is not None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: BareErrorHandler(connections, loop=loop, **_LIMITS),
            sock=self._listener,
            ssl=self._tls,
            backlog=BACKLOG,
        )

    async def stop_accepting(self) -> None:
        """Close the listening socket; connections that it has taken go on."""
        if self._server is not None:
            # Lets connections that wait to be accepted in.
            await asyncio.sleep(0)
            self._server.close()

    async def close(self) -> None:
        """Close idle connections, and cut what still runs.

        From here on aiohttp drops what arrives, bodies of running calls too: drain before.
        """
        await self.stop_accepting()
        await self._runner.cleanup()
