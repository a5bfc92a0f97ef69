"""Which addresses an admin may have called: public, private and loopback ones, never link-local or metadata."""

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Metadata and wire services of clouds that live outside the link-local ranges.
_METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")
)
_METADATA_HOSTS = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
    }
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def base_url_problem(url: str) -> str | None:
    """What is wrong with `url` as an upstream's base URL, or None."""
    return _url_problem(url, accepts_query=False)


def webhook_url_problem(url: str) -> str | None:
    """What is wrong with `url` as a place to post to, or None."""
    return _url_problem(url, accepts_query=True)


def _url_problem(url: str, *, accepts_query: bool) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f'"{url}" is not a URL: {error}'
    if any(character.isspace() or ord(character) < 0x20 for character in url):
        return "must not contain whitespace or control characters"
    if port == 0:
        return "port 0 cannot be called"
    return _shape_problem(parts, accepts_query=accepts_query) or host_problem(parts.hostname or "")


def _shape_problem(parts: SplitResult, *, accepts_query: bool) -> str | None:
    if parts.scheme not in ("http", "https"):
        return 'must be an absolute URL that starts with "https://" or "http://"'
    if not parts.hostname:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user and a password; put credentials into the secret"
    if parts.fragment or (parts.query and not accepts_query):
        return "must have no fragment" if accepts_query else "must have no query and no fragment"
    return None


def host_problem(host: str) -> str | None:
    """Why calls to `host`, a name or an address in any notation, are refused, or None."""
    name = host.rstrip(".").lower()
    if name in _METADATA_HOSTS:
        return f'"{host}" is a cloud metadata service, which Tollway never calls'
    address = _literal_address(name)
    if address is not None and is_forbidden_address(address):
        return f'"{host}" is a link-local, metadata or unspecified address, which Tollway never calls'
    return None


def is_forbidden_address(address: IPAddress) -> bool:
    """Whether nothing may be called at `address`, not even when a name resolves to it."""
    embedded = _embedded_ipv4(address)
    if embedded is not None:
        return is_forbidden_address(embedded)
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA_ADDRESSES


def _embedded_ipv4(address: IPAddress) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _literal_address(host: str) -> IPAddress | None:
    """The address that `host` spells, also as the odd forms that resolvers take (2852039166, 0xa9.254.0xa9fe)."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if not host[:1].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
