"""Which addresses an admin may have called: public, private and loopback ones, never link-local or metadata."""

import ipaddress
import re
import socket
from urllib.parse import SplitResult, parse_qsl, urlsplit

from tollway.resources.top_level_domains import is_top_level_domain

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

MAX_URL = 2048
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_HOST = re.compile(r"[a-z0-9_{}-]{1,63}(\.[a-z0-9_{}-]{1,63})*\.?")
_INFRASTRUCTURE = "arpa"
"""A top-level domain without hosts of the Internet; home.arpa has those of a home."""
_VERSION_PARAMETERS = frozenset(("api-version", "api_version"))


def base_url_problem(url: str) -> str | None:
    """What is wrong with `url` as an upstream's base URL, or None. Braces in it are taken as they are."""
    if len(url) > MAX_URL:
        return f"must have at most {MAX_URL} characters"
    return _url_problem(url) or _tail_problem(url) or _spelling_problem(url)


def with_lower_origin(url: str) -> str:
    """`url` with its scheme and its host in lower case: it leads to the same place."""
    origin = _ORIGIN.match(url)
    return url if origin is None else origin[0].lower() + url[origin.end() :]


def webhook_url_problem(url: str) -> str | None:
    """What is wrong with `url` as a place to post to, or None."""
    return _url_problem(url) or ("must have no fragment" if urlsplit(url).fragment else None)


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The error's own text may repeat a password.
        return 'is not a URL such as "https://host:8443/v1": its host or its port is malformed'
    if any(character.isspace() or ord(character) < 0x20 for character in url):
        return "must not contain whitespace or control characters"
    if port == 0:
        return "port 0 cannot be called"
    return _shape_problem(parts) or host_problem(parts.hostname or "")


def _shape_problem(parts: SplitResult) -> str | None:
    if parts.scheme not in ("http", "https"):
        return 'must be an absolute URL that starts with "https://" or "http://"'
    if not parts.hostname:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user and a password; put credentials into the secret"
    return None


def _tail_problem(url: str) -> str | None:
    """What is wrong with a base URL behind its path, to which paths are added; nothing of it is repeated."""
    if "#" in url:
        return "must have no fragment; leave out what begins with #"
    _, mark, query = url.partition("?")
    if not mark:
        return None
    if _VERSION_PARAMETERS & {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}:
        return "must have no query; an api-version belongs in options.api_version"
    return "must have no query; leave out what begins with ?, and put credentials into the secret"


def _spelling_problem(url: str) -> str | None:
    if not url.isascii() or "\\" in url:
        return "must be ASCII without backslashes: percent-encode its path, and write its host as xn--..."
    host = urlsplit(url).hostname or ""
    if ":" not in host and not _HOST.fullmatch(host):
        return f'"{host}" is not the name or the address of a host'
    return None


def is_private_host(host: str) -> bool:
    """Whether `host`, a name or an address, is one of this machine or of a network of one's own, as far as it tells.

    A name is where it ends with no top-level domain of the Internet, as the short ones of Kubernetes do: "vault.vault".
    """
    name = host.rstrip(".").lower()
    address = _literal_address(name)
    if address is not None:
        return not (_embedded_ipv4(address) or address).is_global
    _, dot, domain = name.rpartition(".")
    return not dot or domain == _INFRASTRUCTURE or not is_top_level_domain(domain)


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
