"""Sockets that a data plane listens on, and the TLS of the apps' API."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from typing import Final

from tollway.settings import Address, SettingsError, TlsFiles, Variable

BACKLOG: Final = 1024
_CERTIFICATE_CHECK_S: Final = 30.0

logger = logging.getLogger(__name__)


class ListenFailed(Exception):
    """There can be no listening socket; the text is one line: `TOLLWAY_X: what is wrong and what to do`."""


def open_listener(address: Address, variable: Variable) -> socket.socket:
    """A listening socket on `address`, which `variable` set. Raises ListenFailed."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenFailed(f"{variable.name}: {address} is no address of this machine ({error.strerror})") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ListenFailed(f"{variable.name}: {_listen_problem(address, error)}") from None
    return listener


def _listen_problem(address: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {address.port} is taken; stop what listens on {address}, or set another port"
    return f"cannot listen on {address} ({os.strerror(error.errno or 0)}); set another address or port"


def where(listener: socket.socket) -> Address:
    """The address that `listener` is bound to."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


class ServerCertificate:
    """The apps' API's TLS context; it takes up renewed files while connections go on."""

    def __init__(self, files: TlsFiles, variable: Variable) -> None:
        """Raises SettingsError, naming `variable`, when the files hold no certificate with its key."""
        self._files = files
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.set_alpn_protocols(["http/1.1"])
        try:
            self.context.load_cert_chain(files.cert, files.key)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{variable.name}: no certificate and key can be loaded ({_problem(error)})") from None
        self._loaded = self._stamp()

    async def keep_fresh(self) -> None:
        """Load the files again whenever they change, for ever; a bad pair leaves the good one in use."""
        while True:
            await asyncio.sleep(_CERTIFICATE_CHECK_S)
            self.refresh()

    def refresh(self) -> None:
        """Load the files again if they changed."""
        stamp = self._stamp()
        if stamp == self._loaded:
            return
        try:
            self.context.load_cert_chain(self._files.cert, self._files.key)
        except (OSError, ValueError) as error:
            logger.warning("the renewed certificate cannot be loaded, the old one stays reason=%s", _problem(error))
            return
        self._loaded = stamp
        logger.info("the certificate was renewed file=%s", self._files.cert)

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        """Identity and time of both files, () while one of them is away."""
        try:
            stats = [os.stat(path) for path in (self._files.cert, self._files.key)]
        except OSError:
            return ()
        return tuple((stat.st_ino, stat.st_mtime_ns) for stat in stats)


def _problem(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason or (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
