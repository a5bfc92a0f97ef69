"""HTTP over the standard library: one request per connection, TLS, time limits, no redirects, no proxies.

Redirects are not followed, so that a credential is sent to no other host than the one that was named.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tollctl.errors import CommandError, Unreachable

_CONNECT_TIMEOUT_S = 5.0
_PART_BYTES = 65_536
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Address:
    """An http(s) base URL. `path` is what stands before every request path, without a slash at the end."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def is_open_wire(self) -> bool:
        """Whether others on the network could read what is sent there."""
        return self.scheme == "http" and self.host not in _LOOPBACK_HOSTS and not self.host.startswith("127.")


def check_credential(secret: str, what: str) -> str:
    """The secret without white space around it. Raises CommandError, without it, where no header can hold it."""
    secret = secret.strip()
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise CommandError(f"the {what} holds characters that cannot be part of one: copy it again")
    return secret


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. `headers` may hold a credential: they stay out of repr."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None
    timeout_s: float = 30.0

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path})"


def parse_address(url: str, origin: str) -> Address:
    """Raises CommandError, naming where the URL comes from, where it is no http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CommandError(f"{origin}: {url!r} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CommandError(f"{origin}: {url!r} is no URL; write one such as http://127.0.0.1:8081")
    if parts.username is not None or parts.query or parts.fragment:
        raise CommandError(f"{origin}: the URL must hold no user, query or fragment")
    if not parts.path.isascii() or not parts.path.isprintable() or " " in parts.path:
        raise CommandError(f"{origin}: the path of {url!r} holds characters that a URL cannot hold")
    default_port = 443 if parts.scheme == "https" else 80
    return Address(parts.scheme, parts.hostname, port or default_port, parts.path.rstrip("/"))


class Answer:
    """An answer whose body is still on the wire. Reading raises Unreachable where the connection breaks."""

    def __init__(self, address: Address, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self._address = address
        self._response = response

    def read(self) -> bytes:
        """The whole body."""
        with _told_as_unreachable(self._address):
            return self._response.read()

    def parts(self) -> Iterator[bytes]:
        """The body as it comes; a part of one is never taken for the whole."""
        while True:
            with _told_as_unreachable(self._address):
                part = self._response.read(_PART_BYTES)
                if not part and self._response.length:
                    raise http.client.IncompleteRead(part, self._response.length)
            if not part:
                return
            yield part

    def lines(self) -> Iterator[bytes]:
        """The body line by line as it comes, without line ends."""
        while True:
            with _told_as_unreachable(self._address):
                line = self._response.readline()
            if not line:
                return
            yield line.rstrip(b"\r\n")


@contextmanager
def send(address: Address, request: Request, ca_file: Path | None = None) -> Iterator[Answer]:
    """Send a request and yield the answer, whatever its status; the connection closes at the end.

    Raises Unreachable where nothing answers, CommandError where ca_file cannot be read.
    """
    connection = _open_connection(address, ca_file)
    try:
        with _told_as_unreachable(address):
            connection.connect()
            connection.sock.settimeout(request.timeout_s)
            connection.request(request.method, address.path + request.path, request.body, dict(request.headers))
            response = connection.getresponse()
        yield Answer(address, response)
    finally:
        connection.close()


@contextmanager
def _told_as_unreachable(address: Address) -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"{address} has a certificate that is not trusted ({error.verify_message}): name its CA with --ca-file"
        ) from None
    except ssl.SSLError as error:
        raise Unreachable(f"{address} does not speak TLS as expected: {error.reason or error}") from None
    except TimeoutError:
        raise Unreachable(f"{address} did not answer in time") from None
    except socket.gaierror as error:
        raise Unreachable(f"{address} is unreachable: {error.strerror}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{address} is unreachable: {_describe(error)}") from None


def _open_connection(address: Address, ca_file: Path | None) -> http.client.HTTPConnection:
    if address.scheme == "http":
        return http.client.HTTPConnection(address.host, address.port, timeout=_CONNECT_TIMEOUT_S)
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise CommandError(f"cannot read certificates from {ca_file}: {_describe(error)}") from None
    return http.client.HTTPSConnection(address.host, address.port, timeout=_CONNECT_TIMEOUT_S, context=context)


def _describe(error: Exception) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed before an answer came"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer broke off"
    if isinstance(error, http.client.HTTPException):
        return "the answer is not HTTP"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
