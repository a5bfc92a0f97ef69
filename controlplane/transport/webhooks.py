"""Posting webhooks: one connection each, to the address that was checked, with no redirects and no proxies."""

import ipaddress
import os
import socket
from collections.abc import Mapping

import aiohttp

from controlplane.quota.alerts.posting import Answer
from tollway.resources.addresses import is_forbidden_address

CONNECT_S = 5.0
TIMEOUT_S = 10.0
_HEADERS = {"Content-Type": "application/json", "User-Agent": "tollway-webhooks"}


class WebhookClient:
    """Posts as `Post` has it. `timeout_s` is for a whole post, up to the answer's headers; its body is not read."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Any 2xx status means that it was taken."""
        gate = _AddressGate()
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S)
        connector = aiohttp.TCPConnector(socket_factory=gate.open_socket, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.post(url, data=body, headers={**_HEADERS, **headers}, allow_redirects=False) as response,
            ):
                return _judge(response)
        except aiohttp.ConnectionTimeoutError:
            return Answer(False, f"cannot be reached within {min(CONNECT_S, self._timeout_s):g} s")
        except TimeoutError:
            return Answer(False, f"did not answer within {self._timeout_s:g} s")
        # uvloop raises RuntimeError for some failures to connect.
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            return Answer(False, gate.refusal or _reason_of(error))


class _AddressGate:
    """Opens sockets; to link-local and metadata addresses never, whatever name led there."""

    def __init__(self) -> None:
        self.refusal = ""

    def open_socket(self, place: aiohttp.AddrInfoType) -> socket.socket:
        """Raises PermissionError, upon which the next address of the name is tried."""
        family, kind, protocol, _, address = place
        if is_forbidden_address(ipaddress.ip_address(str(address[0]).partition("%")[0])):
            self.refusal = "the URL leads to a link-local or metadata address, where nothing is sent"
            raise PermissionError(self.refusal)
        return socket.socket(family, kind, protocol)


def _judge(response: aiohttp.ClientResponse) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer(True)
    if 300 <= status < 400:
        return Answer(False, f"answered {status}, and redirects are not followed: name the final URL in the budget")
    pause = response.headers.get("retry-after", "").strip()
    is_number = pause.isascii() and pause.isdecimal() and len(pause) < 10
    return Answer(False, f"answered {status}", int(pause) if is_number else 0)


def _reason_of(error: Exception) -> str:
    """Never with the URL, which is a secret with many receivers."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            return "the certificate is not valid for this host"
        case aiohttp.ClientSSLError():
            return "no TLS connection can be made"
        case aiohttp.ClientConnectorError():
            return f"cannot be reached: {_errno_text(error.os_error)}"
        case ValueError():
            return "the URL cannot be used"
        case _:
            return f"the connection broke: {type(error).__name__}"


def _errno_text(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
