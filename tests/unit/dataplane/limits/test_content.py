from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.limits.content import IMAGE_BOUND, SOUND_PADDING_BOUND, Content, text_bytes
from dataplane.limits.estimate import Size, size_of
from tests.fakes.outcomes import make_call

LOOKS = ["type", "source", "image_url", "input_audio", "file", "data", "url", "image", "text"]
JSON = st.recursive(
    st.text() | st.integers(-(2**53), 2**53) | st.none() | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(LOOKS), inner, max_size=3),
    max_leaves=8,
)


def size_with(part: Any) -> Size:
    return size_of(make_call(body={"messages": [{"role": "user", "content": [part]}]}))


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


@example({"type": "image", "source": {"x": "word " * 1_000}})
@example({"type": "input_audio", "input_audio": {"data": "word " * 1_000}})
@example({"type": "image_url", "image_url": {"url": "\n" * 1_000}})
@given(st.dictionaries(st.sampled_from(LOOKS), JSON, max_size=4))
def test_what_models_wrote_for_tools_is_text_whatever_it_looks_like(arguments: Any) -> None:
    turns = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": arguments}]},
        {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": arguments}}]},
        {"role": "assistant", "function_call": {"name": "f", "arguments": arguments}},
        {"role": "assistant", "content": [{"type": "function", "function": arguments}]},
        {"role": "assistant", "content": [{"type": "tool_call", "arguments": arguments}]},
    ]
    for turn in turns:
        content = Content()
        content.add_messages([turn])
        assert content.text_bytes >= len(orjson.dumps(arguments))
        assert (content.media_bound, content.unbounded) == (0, "")


def test_what_json_cannot_say_is_no_smaller_than_what_it_could() -> None:
    deep: Any = "x" * 1_000
    for _ in range(400):
        deep = [deep]
    for value, least in ((deep, 1_800), ({"a": "\ud800" * 1_000}, 3_000), ([10**100, 1.5], 100)):
        assert text_bytes(value) >= least


@pytest.mark.parametrize(
    "part",
    [
        image("https://e.example/a.mp4#t"),
        image("https://e.example/a.mpg"),
        image("https://e.example/a.txt?x=.png"),
        image("https://e.example/a.MP4;"),
        image("https://e.example/a.m\np4"),
        image("https://[e.example/a.png"),
        image("gs://bucket/a.png"),
        image("file:///etc/a.png"),
        image("https://e.example/" + "a" * 9_000),
        image("DATA:video/mp4;base64,AAAA"),
        image("data:image/../video/mp4;base64,AAAA"),
        image("data:;base64,AAAA"),
        {"type": "image_url", "image_url": {"file_id": "f"}},
        {"image_url": {"url": "https://e.example/a.mp4"}},
        {"type": "image_url"},
        {"type": "document_url", "document_url": "https://e.example/a.pdf"},
        {"type": "audio_url", "audio_url": {"url": "https://e.example/a.mp3"}},
        {"type": "file_url", "file_url": {"url": "https://e.example/a.pdf"}},
        {"type": "container_upload", "file_id": "f"},
        {"type": "file_of_next_year", "text": "x"},
        {"file_id": "f"},
        {"type": "text", "text": "x", "video": {"format": "mp4"}},
        {"document": {"format": "pdf", "source": {"bytes": "QUJD"}}},
        {"video": {"format": "mp4", "source": {"bytes": "QUJD"}}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/a.png"}}}},
        {"type": "document", "source": {"type": ["text"]}},
        {"type": "image", "source": {"type": "url", "url": "https://e.example/a.pdf"}},
        {"type": "image", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}},
        {"type": "input_audio", "input_audio": {"data": "https://e.example/a.mp3", "format": "mp3"}},
        {"type": "input_audio", "input_audio": "https://e.example/a.mp3"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "../video/mp4"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "flac"}},
        {"type": "input_audio", "input_audio": {"data": "ZkxhQwAA", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": ["wav"]}},
        {"type": "tool_result", "content": [{"type": "file", "file": {}}]},
    ],
)
def test_a_part_that_may_be_any_number_of_tokens_is_named(part: dict[str, Any]) -> None:
    assert size_with(part).unbounded


@pytest.mark.parametrize(
    "turn",
    [
        {"content": None, "refusal": None, "audio": None, "function_call": None, "annotations": []},
        {
            "content": [
                {"type": "thinking", "thinking": "x", "signature": "y"},
                {"type": "redacted_thinking", "data": "z"},
            ]
        },
        {"content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "x"}]},
        {
            "content": [
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
                {"cachePoint": {"type": "d"}},
            ]
        },
        {"content": [{"type": "text", "text": "x", "citations": [{"type": "char_location", "cited_text": "y"}]}]},
        {"content": [{"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}}]},
        {"content": [{"type": "search_result", "source": "https://e.example/a.pdf", "title": "x", "content": []}]},
        {"content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "x"}]}]},
        {"content": [{"type": "message", "content": [{"type": "output_text", "text": "x"}]}]},
        {"content": [{"guardContent": {"text": {"text": "x"}}}]},
    ],
)
def test_text_tools_and_thinking_have_a_bound(turn: dict[str, Any]) -> None:
    size = size_of(make_call(body={"messages": [{"role": "assistant", **turn}]}))
    assert (size.unbounded, size.media_bound) == ("", 0)


@pytest.mark.parametrize(
    "part",
    [
        image("https://e.example/a.PNG?x=a.mp4#b.pdf"),
        image("https://e.example/photos/1"),
        image("DATA:IMAGE/WebP;base64,AAAA"),
        {"type": "input_image", "image_url": "data:image/jpeg;base64,AAAA"},
        {"image_url": {"url": "https://e.example/a.png"}},
        {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]},
    ],
)
def test_images_are_images_in_every_form(part: dict[str, Any]) -> None:
    size = size_with(part)
    assert (size.unbounded, size.media_bound) == ("", IMAGE_BOUND)


def test_images_of_earlier_answers_count_too() -> None:
    turn = {
        "role": "assistant",
        "content": "x",
        "images": [image("data:image/png;base64,AA"), "https://e.example/a.png"],
    }
    size = size_of(make_call(body={"messages": [turn]}))
    assert (size.unbounded, size.media_bound) == ("", 2 * IMAGE_BOUND)
    turn["images"] = [{"image_url": {"url": "https://e.example/a.mp4"}}]
    assert size_of(make_call(body={"messages": [turn]})).unbounded == "image_url"


@pytest.mark.parametrize("form", ["wav", "MP3", None])
def test_sound_holds_what_the_model_that_counts_most_makes_of_the_slowest(form: str | None) -> None:
    seconds, bytes_per_second, tokens_per_second = 600, 750, 32
    data = "A" * (seconds * bytes_per_second * 4 // 3)
    sound = {"data": data} if form is None else {"data": data, "format": form}
    size = size_with({"type": "input_audio", "input_audio": sound})
    most = seconds * tokens_per_second
    assert most <= size.media_bound - SOUND_PADDING_BOUND < most * 11 // 10
    assert not size.unbounded
    assert size.text_bytes < len(data)


def test_the_shortest_sound_holds_what_models_fill_it_up_to() -> None:
    assert size_with({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}).media_bound >= 375


PNG = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    "member",
    [
        {"documents": [{"id": "d", "data": {"title": "x", "image_url": {"url": PNG}}}]},
        {"documents": [{"id": "d", "data": {"image": "https://e.example/a.png"}}]},
        {"documents": [{"image": PNG}]},
        {"documents": [{"image": "AAAA"}]},
        {"documents": [PNG]},
        {"documents": [{"document": {"data": {"picture": "DATA:image/jpeg;base64,AAAA"}}}]},
        {"documents": [{"content": [image("https://e.example/a.png")]}]},
        {"documents": [{"type": "image", "url": "https://e.example/a.png"}]},
        {"documents": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
        {"query": {"image": "https://e.example/a.png"}},
        {"images": [PNG]},
        {"image": PNG},
        {"inputs": [{"content": [{"type": "text", "text": "x"}, image(PNG)]}]},
        {"chat_template_kwargs": {"documents": [{"images": ["https://e.example/a.png"]}]}},
    ],
)
def test_images_count_in_every_member_of_a_body(member: dict[str, Any]) -> None:
    size = size_of(make_call(body={"messages": [], **member}))
    assert (size.unbounded, size.media_bound) == ("", IMAGE_BOUND)
    assert size.text_bytes >= text_bytes(next(iter(member.values())))


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"image_url": {"url": "https://e.example/a.mp4"}}, "image_url"),
        ({"data": {"image": "https://e.example/a.pdf"}}, "image"),
        ({"data": {"pdf": "JVBERi0"}}, "pdf"),
        ({"video": "https://e.example/a.mp4"}, "video"),
        ({"file": {"file_id": "f"}}, "file"),
        ({"document_url": "https://e.example/a.pdf"}, "document_url"),
        ({"content": [{"type": "video_url", "video_url": {"url": "u"}}]}, "video_url"),
        ({"type": "document", "source": {"type": "url", "url": "https://e.example/a.pdf"}}, "document"),
    ],
)
def test_files_in_documents_are_named(document: dict[str, Any], named: str) -> None:
    assert size_of(make_call(body={"messages": [], "documents": [document]})).unbounded == named


@pytest.mark.parametrize(
    "member",
    [
        {
            "documents": [
                "a",
                {"text": "https://e.example/a.png"},
                {"type": "article", "source": "wiki", "document": "d"},
            ]
        },
        {
            "documents": [
                {"data": {"title": "t", "file": "report.pdf", "video": "A talk: on cats", "url": "https://a/b.png"}}
            ]
        },
        {"documents": None, "query": "q", "prompt": ["a", "b"]},
        {"audio": {"voice": "v", "format": "wav"}},
        {"tools": [{"type": "function", "function": {"parameters": {"image_url": {"url": PNG}}}}]},
        {"guided_json": {"image": {"type": "string"}}},
        {"of_next_year": {"properties": {"image": {"type": "string"}, "file": {"type": "object"}}}},
    ],
)
def test_what_is_no_image_and_no_file_is_text_alone(member: dict[str, Any]) -> None:
    size = size_of(make_call(body={"messages": [], **member}))
    assert (size.unbounded, size.media_bound) == ("", 0)
