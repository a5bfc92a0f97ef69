"""Where the config feed may be dialled: the addresses of each configured name, and the channel to one of them."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    # A connection shared with earlier channels would bring their wait before the next attempt along.
    ("grpc.use_local_subchannel_pool", 1),
)


class EndpointError(Exception):
    """A name that does not resolve, or a TLS file that cannot be read; the message says which."""


@dataclass(frozen=True, slots=True)
class FeedTls:
    """Files of TLS towards the control plane: `ca` that signs its certificate (None for the system's), and the data
    plane's own `certificate` with its `key`, where the control plane asks for one."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a control plane; `host` is the name that its certificate must bear."""

    host: str
    address: str
    port: int

    @property
    def target(self) -> str:
        """As gRPC names it."""
        if ipaddress.ip_address(self.address.partition("%")[0]).version == 6:
            return f"ipv6:[{self.address}]:{self.port}"
        return f"ipv4:{self.address}:{self.port}"

    @property
    def shown(self) -> str:
        """For messages."""
        return f"{self.host} ({self.address}), port {self.port}"


async def resolve(address: str, shuffle: Callable[[MutableSequence[str]], None]) -> Sequence[Endpoint]:
    """All addresses of `address`, "HOST:PORT", in the order that `shuffle` gives. Raises EndpointError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise EndpointError(f"{host} does not resolve: {error.strerror}") from None
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    shuffle(addresses)
    return [Endpoint(host, numeric, int(port)) for numeric in addresses]


def open_channel(endpoint: Endpoint, tls: FeedTls | None) -> grpc.aio.Channel:
    """A channel of its own to `endpoint`; TLS files are read anew. Raises EndpointError when one cannot be read."""
    authority = f"[{endpoint.host}]:{endpoint.port}" if ":" in endpoint.host else f"{endpoint.host}:{endpoint.port}"
    options = (*_OPTIONS, ("grpc.default_authority", authority))
    if tls is None:
        return grpc.aio.insecure_channel(endpoint.target, options=options)
    credentials = grpc.ssl_channel_credentials(_content(tls.ca), _content(tls.key), _content(tls.certificate))
    named = (*options, ("grpc.ssl_target_name_override", endpoint.host))
    return grpc.aio.secure_channel(endpoint.target, credentials, options=named)


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise EndpointError(f"{path} cannot be read: {error.strerror}") from None
