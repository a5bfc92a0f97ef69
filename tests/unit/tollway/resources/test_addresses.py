"""Where upstreams may be: also in the odd notations that resolvers understand."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.resources.addresses import (
    base_url_problem,
    is_forbidden_address,
    is_private_host,
    webhook_url_problem,
    with_lower_origin,
)


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
        "https://api.openai.com./v1",
        "https://under_score.example/v1",
        "https://{location}-h.example/{project}",
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
        "https://host/v1?",
        "https://host/v1#",
        "https://host/\\evil",
        "https://h\u00f6st/v1",
        "https://host/\u00e9",
        "https://a..b/",
        "https://host%2eexample/",
        "https://h\x01st/",
        f"https://{'a' * 64}.example/",
        f"https://host/{'a' * 2048}",
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


@pytest.mark.parametrize(
    ("url", "next_step"),
    [
        ("https://host/v1?api-version=2024-10-21", "options.api_version"),
        ("https://host/v1?key=canary-7f3a", "into the secret"),
        ("https://host/v1#canary-7f3a", "leave out"),
        ("https://canary-7f3a:pw@host/v1", "into the secret"),
        ("https://user:canary-7f3a/x@host/v1", "malformed"),
    ],
)
def test_what_to_do_is_told_without_repeating_what_may_be_a_secret(url: str, next_step: str) -> None:
    problem = base_url_problem(url)
    assert problem is not None
    assert next_step in problem
    assert "canary" not in problem


def test_webhooks_may_have_a_query_and_international_names() -> None:
    assert webhook_url_problem("https://h\u00f6st.example/hook?team=a") is None
    assert webhook_url_problem("https://host/hook#x") is not None


@pytest.mark.parametrize(
    ("host", "is_private"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("10.0.0.7", True),
        ("::1", True),
        ("fd12:3456::1", True),
        ("::ffff:10.0.0.7", True),
        ("vllm", True),
        ("vllm.models.svc", True),
        ("vllm.models.svc.cluster.local.", True),
        ("gpu.corp.INTERNAL", True),
        ("vault.vault", True),
        ("kubernetes.default", True),
        ("litellm.ai-platform", True),
        ("nas.home.arpa", True),
        ("10.0.0.7.", True),
        ("images.xn--q9jyb4c", False),
        ("images.\N{HIRAGANA LETTER MI}\N{HIRAGANA LETTER N}\N{HIRAGANA LETTER NA}", False),
        ("images.\N{HIRAGANA LETTER MI}", True),
        ("images." + "\N{HIRAGANA LETTER MI}" * 100_000, True),
        ("minio.storage", False),
        ("8.8.8.8", False),
        ("134744072", False),
        ("::ffff:8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("api.openai.com", False),
        ("local.example.com", False),
    ],
)
def test_private_hosts_are_told_from_public_ones(host: str, is_private: bool) -> None:
    assert is_private_host(host) is is_private


@pytest.mark.parametrize(
    ("url", "lowered"),
    [
        ("HTTPS://API.OpenAI.com:8443/V1/{Model}", "https://api.openai.com:8443/V1/{Model}"),
        ("http://HOST", "http://host"),
        ("https://[FD12::1]/A", "https://[fd12::1]/A"),
        ("https://host/HTTP://X", "https://host/HTTP://X"),
        ("HOST/v1", "HOST/v1"),
        ("", ""),
    ],
)
def test_case_counts_only_behind_the_host(url: str, lowered: str) -> None:
    assert with_lower_origin(url) == lowered
    assert with_lower_origin(lowered) == lowered
