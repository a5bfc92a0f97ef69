"""Opening and closing the sockets of a process, with errors that name the port and the variable."""

import asyncio
import errno
import logging
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Final

import grpc
from aiohttp import web

from tollway.settings import Address, Variable

KEEPALIVE_S = 75.0
_BACKLOG = 128
_INTERNAL_ERROR = 500
_HANDLING: Final[dict[str, Any]] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": KEEPALIVE_S,
}
_log = logging.getLogger("tollway.http")


class ListenError(Exception):
    """An address cannot be listened on; the text is one line that names it and the variable."""


@dataclass(frozen=True, slots=True)
class HttpListener:
    """A running HTTP listener; `address` has the port that was taken."""

    address: Address
    server: asyncio.Server
    runner: web.AppRunner

    async def close(self) -> None:
        """Stops accepting, lets running requests end within the runner's timeout, and closes."""
        self.server.close()
        await self.runner.cleanup()


class BareErrorHandler(web.RequestHandler):
    """Answers what is not HTTP with a status alone: aiohttp's own answer quotes bytes that may be a credential."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = _INTERNAL_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already, so the connection can only be closed")
        if status == _INTERNAL_ERROR:
            _log.error("a request failed outside its handler", exc_info=exc)
        response = web.Response(status=status)
        response.force_close()
        return response


async def listen_http(
    app: web.Application,
    variable: Variable,
    address: Address,
    *,
    tls: ssl.SSLContext | None = None,
    shutdown_timeout_s: float = 5.0,
) -> HttpListener:
    """Raises ListenError."""
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=shutdown_timeout_s)
    await runner.setup()
    connections, loop = runner.server, asyncio.get_running_loop()
    assert connections is not None

    def handler() -> BareErrorHandler:
        return BareErrorHandler(connections, loop=loop, **_HANDLING)

    try:
        server = await loop.create_server(
            handler, address.host, address.port, ssl=tls, backlog=_BACKLOG, reuse_port=False
        )
    except OSError as error:
        await runner.cleanup()
        raise _listen_error(variable, address, error.errno) from error
    port = int(server.sockets[0].getsockname()[1])
    return HttpListener(Address(address.host, port), server, runner)


def listen_grpc(
    server: grpc.aio.Server, variable: Variable, address: Address, credentials: grpc.ServerCredentials | None
) -> Address:
    """Adds an address to a server before its start; returns it with the port that was taken. Raises ListenError."""
    try:
        if credentials is None:
            port = server.add_insecure_port(str(address))
        else:
            port = server.add_secure_port(str(address), credentials)
    except RuntimeError as error:
        raise _listen_error(variable, address, _bind_problem(address)) from error
    return Address(address.host, port)


def _bind_problem(address: Address) -> int | None:
    """Why an address cannot be listened on, which gRPC does not say: an errno, or None when it can."""
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.create_server((address.host, address.port), family=family):
            return None
    except OSError as error:
        return error.errno


def _listen_error(variable: Variable, address: Address, number: int | None) -> ListenError:
    if number == errno.EADDRINUSE:
        return ListenError(
            f"{variable.name}: port {address.port} of {address.host} is taken; stop what listens there, or set another"
        )
    reason = "it cannot be listened on" if not number else errno.errorcode.get(number, str(number))
    return ListenError(f"{variable.name}: {address}: {reason}; set it to an address of this machine and a free port")
