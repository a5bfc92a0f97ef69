"""Where connections may go: upstream addresses may be private or loopback, never link-local or cloud metadata."""

import ipaddress

_METADATA = frozenset(ipaddress.ip_address(text) for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_forbidden(host: str) -> bool:
    """Whether the IP address `host` is link-local, unspecified, multicast or a cloud's metadata service."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = _embedded_ipv4(address) or address
    return address.is_link_local or address.is_unspecified or address.is_multicast or address in _METADATA


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv4-mapped, 6to4 or NAT64 address stands for."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
