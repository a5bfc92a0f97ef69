"""Servers in an operator's network are never sent addresses of callers that lead inside, as far as those tell."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.openai import OpenAIDialect
from dataplane.dialects.openai.media import FETCHES_MEDIA, check_media
from dataplane.errors import InvalidRequest
from dataplane.ingress.openai import ENDPOINTS
from dataplane.snapshot import Secret, Target, Upstream
from tests.fakes.outcomes import make_call
from tollway.resources.providers import PROVIDERS

DIALECT = OpenAIDialect()
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
METADATA = "http://169.254.169.254/latest/meta-data"
PUBLIC = "https://images.example.com/a.png"


def render(provider: str, endpoint: str = "chat_completions", **body: Any) -> None:
    row = PROVIDERS[provider].at("m", {})
    base_url = row.base_url or "http://u.example"
    upstream = Upstream("upstreams/u", "u", provider, base_url, "", {}, (), None, {}, Secret(""))
    call = make_call(endpoint=BY_NAME[endpoint], body={"model": "smart", **body})
    DIALECT.render_request(call, Target(upstream, "m"), row)


def message(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": METADATA}, part]}]}


def image(url: Any) -> dict[str, Any]:
    return message({"type": "image_url", "image_url": {"url": url}})


@pytest.mark.parametrize(
    "url",
    [
        METADATA,
        "http://127.0.0.1:8081/v1/keys",
        "HTTP://LOCALHOST/a.png",
        "http://a.localhost./a.png",
        "https://[::1]:9/a.png",
        "https://[fe80::1%25eth0]/a.png",
        "http://[::ffff:10.0.0.1]/a.png",
        "http://[64:ff9b::a9fe:a9fe]/a.png",
        "http://10.1.2.3/a.png",
        "http://192.168.1.1",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://168.63.129.16/",
        "http://metadata.google.internal/computeMetadata",
        "http://metadata/",
        "http://redis:6379/",
        "http://db.prod.svc/",
        "http://vault.vault:8200/v1/secret",
        "http://kubernetes.default/",
        "http://redis.\N{HIRAGANA LETTER MI}/",
        "http://printer.local/a.png",
        "http://2852039166/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://010.8.8.8/",
        "http://127.1/",
        "http://127.0.0.1%2e/",
        "http://%31%32%37.0.0.1/",
        "http://\N{FULLWIDTH DIGIT ONE}27.0.0.1/",
        "http://127\N{IDEOGRAPHIC FULL STOP}0.0.1/",
        "http:127.0.0.1/a.png",
        "http:///127.0.0.1/a.png",
        "http:///",
        "http://127.0.0.1%2f.example.com/",
        "http://1%00.example.com/",
        " \thttp://127.0.0.1/a.png",
        "ht\ntp://127.0.0.1/a.png",
        "http://images.example.com\\@127.0.0.1/a.png",
        "http://images.example.com@127.0.0.1/a.png",
        "http://user:secret@images.example.com/a.png",
        "http://127.0.0.1 .example.com/a.png",
        "file:///etc/passwd.png",
        " FILE:///etc/passwd.png",
        "/etc/secret.png",
        "../secret.png",
        "secret.png",
        "ftp://images.example.com/a.png",
        "gopher://127.0.0.1:6379/_",
        "s3://bucket/a.png",
        "//127.0.0.1/a.png",
        "xhttp://images.example.com/a.png",
        "iVBORw0KGgo=",
    ],
)
def test_addresses_that_are_not_public_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_media(image(url))
    assert (caught.value.param, caught.value.error_code) == ("messages[0].content[1].image_url.url", "invalid_value")


@pytest.mark.parametrize(
    "url",
    [
        PUBLIC,
        "https://8.8.8.8/a.png?u=http://127.0.0.1/",
        "http://[2606:4700::1111]:8080/a.png#@127.0.0.1",
        "https://bücher.example.com/@a/b.png",
        "https://bilder.\N{CYRILLIC SMALL LETTER ER}\N{CYRILLIC SMALL LETTER EF}/a.png",
        "https://10.0.0.1.example.com/a.png",
        "data:image/png;base64,aHR0cDovLzEyNy4wLjAuMS8=",
        "",
        None,
        7,
        ["http://127.0.0.1/"],
    ],
)
def test_everything_else_is_sent(url: Any) -> None:
    check_media(image(url))
    check_media(message({"type": "image_url", "image_url": url}))


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        (
            "chat_completions",
            message({"type": "video_url", "video_url": {"url": METADATA}}),
            "messages[0].content[1].video_url.url",
        ),
        ("chat_completions", message({"image_url": METADATA}), "messages[0].content[1].image_url"),
        ("chat_completions", message({"type": "image", "image": METADATA}), "messages[0].content[1].image"),
        ("embeddings", {"input": [{"text": "a"}, {"image": METADATA}]}, "input[1].image"),
        (
            "rerank",
            {"query": "q", "documents": ["a", {"content": [{"image_url": {"url": METADATA}}]}]},
            "documents[1].content[0].image_url.url",
        ),
        ("rerank", {"query": {"content": [{"audio_url": METADATA}]}, "documents": []}, "query.content[0].audio_url"),
        (
            "rerank",
            {"query": "q", "documents": {"content": [{"type": "text"}, {"image_url": {"url": METADATA}}]}},
            "documents.content[1].image_url.url",
        ),
        ("rerank", {"query": "q", "documents": {"image": "/etc/secret.png"}}, "documents.image"),
        ("embeddings", {"input": {"content": [{"video_url": {"url": METADATA}}]}}, "input.content[0].video_url.url"),
    ],
)
def test_the_part_that_names_it_is_told(endpoint: str, body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        render("vllm", endpoint, **body)
    assert caught.value.param == param


@pytest.mark.parametrize("provider", ["vllm", "sglang", "llama-cpp", "ollama", "nvidia-nim", "openai_compatible"])
def test_servers_of_ones_own_are_sent_public_addresses_only(provider: str) -> None:
    assert FETCHES_MEDIA in PROVIDERS[provider].traits
    render(provider, **image(PUBLIC))
    with pytest.raises(InvalidRequest):
        render(provider, **image(METADATA))


def test_providers_elsewhere_fetch_from_their_own_network() -> None:
    render("openai", **image(METADATA))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4) | st.just(METADATA),
        lambda children: (
            st.lists(children, max_size=3)
            | st.dictionaries(
                st.sampled_from(["messages", "content", "image_url", "url", "image", "query", "input", "documents"]),
                children,
            )
        ),
        max_leaves=12,
    ),
    st.text(max_size=30),
)
def test_whatever_is_sent_is_refused_or_passes(value: Any, host: str) -> None:
    for body in (
        {"messages": value, "input": value, "query": value, "documents": value},
        image(f"http://{host}/a.png"),
    ):
        try:
            check_media(body)
        except InvalidRequest as error:
            assert error.param
