"""Where upstreams may be: also in the odd notations that resolvers understand."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.resources.addresses import base_url_problem, is_forbidden_address


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://127.0.0.1:8000/v1",
        "http://localhost",
        "http://[::1]:8000/v1",
        "http://10.0.0.7/v1",
        "http://192.168.1.1:11434/v1",
        "http://[fd12:3456::1]/v1",
        "https://vllm.svc.cluster.local:8443/openai/v1",
    ],
)
def test_public_private_and_loopback_are_allowed(url: str) -> None:
    assert base_url_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "//api.openai.com",
        "ftp://x",
        "file:///etc/passwd",
        "https://",
        "https://user:pw@host/v1",
        "https://host/v1?key=1",
        "https://host/v1#x",
        "https://host:99999/",
        "https://host:0/",
        "https://ho st/",
        "https://host/\r\nx",
        "http://[::1",
    ],
)
def test_what_is_no_base_url(url: str) -> None:
    assert base_url_problem(url) is not None


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "0",
        "224.0.0.1",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "metadata",
        "instance-data",
    ],
)
def test_link_local_and_metadata_are_refused(host: str) -> None:
    problem = base_url_problem(f"http://{host}/latest/meta-data")
    assert problem is not None
    assert "Tollway never calls" in problem


@given(st.integers(0, 0xFFFF))
def test_every_link_local_address_is_refused_in_every_wrapping(tail: int) -> None:
    v4 = ipaddress.IPv4Address(0xA9FE0000 | tail)
    assert is_forbidden_address(v4)
    assert is_forbidden_address(ipaddress.IPv6Address(0xFFFF << 32 | int(v4)))
    assert is_forbidden_address(ipaddress.IPv6Address(0x2002 << 112 | int(v4) << 80))
    assert base_url_problem(f"http://{int(v4)}/") is not None
    assert base_url_problem(f"http://{int(v4):#x}/") is not None
