"""Opening and closing the sockets of a process, with errors that name the port and the variable."""

import errno
import socket
import ssl
from dataclasses import dataclass

import grpc
from aiohttp import web

from tollway.settings import Address, Variable

KEEPALIVE_S = 75.0


class ListenError(Exception):
    """An address cannot be listened on; the text is one line that names it and the variable."""


@dataclass(frozen=True, slots=True)
class HttpListener:
    """A running HTTP listener; `address` has the port that was taken."""

    address: Address
    runner: web.AppRunner

    async def close(self) -> None:
        """Stops accepting, lets running requests end within the runner's timeout, and closes."""
        await self.runner.cleanup()


async def listen_http(
    app: web.Application,
    variable: Variable,
    address: Address,
    *,
    tls: ssl.SSLContext | None = None,
    shutdown_timeout_s: float = 5.0,
) -> HttpListener:
    """Raises ListenError."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=shutdown_timeout_s,
        auto_decompress=False,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port, ssl_context=tls, reuse_port=False).start()
    except OSError as error:
        await runner.cleanup()
        raise _listen_error(variable, address, error.errno) from error
    port = int(runner.addresses[0][1])
    return HttpListener(Address(address.host, port), runner)


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
