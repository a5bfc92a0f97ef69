"""Answers to calls for streams: what they are, their first bytes tell, whatever type they say they have."""

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import orjson
import pytest

from dataplane.dialects.base import Dialect, Frame
from dataplane.dialects.bedrock import BedrockDialect
from dataplane.dialects.openai import OpenAIDialect
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.upstream.answer import FrameStream
from dataplane.upstream.transport import UpstreamResponse
from tests.fakes.outcomes import make_call
from tests.golden.recordings import read_recordings

SSE, AWS, JSON = "text/event-stream", "application/vnd.amazon.eventstream", "application/json"
ENVELOPE = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNK = ENVELOPE | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
MESSAGE = {"role": "assistant", "content": "hi"}
ANSWER = orjson.dumps({"id": "x", "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]})
EVENT = b"data: " + orjson.dumps(CHUNK) + b"\n\n"
STREAM = EVENT + b"data: [DONE]\n\n"
RECORDED = next(r for r in read_recordings("bedrock") if r.api == "bedrock.converse_stream" and r.status == 200)
MARK = b"\xef\xbb\xbf"
IDLE_S, DEADLINE_S = 5.0, 60.0


class Response:
    """A body that has arrived in pieces of `size`; `waited_s` are the longest silences that were asked for.

    Its connection is lost at the end with `lost`, where that is given.
    """

    def __init__(self, kind: str, body: bytes, size: int = 0, lost: UpstreamError | None = None) -> None:
        self.content_type = kind
        self._lost = lost
        self.waited_s: list[float] = []
        self._pieces = [body[at : at + (size or len(body))] for at in range(0, len(body), size or len(body) or 1)]

    async def flow(self, take: Callable[[bytes], bool], idle_s: float, deadline_s: float) -> None:
        assert deadline_s == DEADLINE_S
        self.waited_s.append(idle_s)
        while self._pieces:
            if not take(self._pieces.pop(0)):
                return
        if self._lost is not None:
            raise self._lost
        take(b"")


async def read(response: Response, dialect: Dialect) -> list[Frame]:
    call = make_call(stream=True)
    parse_whole = partial(dialect.parse_result_chunks, call)
    parser = dialect.stream_parser(call)
    stream = FrameStream(cast(UpstreamResponse, response), parser, parse_whole, IDLE_S, DEADLINE_S)
    frames: list[Frame] = []
    await stream.read_to_content(frames)

    def take(arrived: list[Frame]) -> bool:
        frames.extend(arrived)
        return True

    await stream.flow(take)
    assert stream.is_good
    return frames


def text_of(frames: list[Frame]) -> str:
    chunks = [orjson.loads(frame.data) for frame in frames if frame.data]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("kind", ["", SSE, AWS, JSON, "text/plain", "application/octet-stream"])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize(
    "body",
    [
        STREAM,
        MARK + b"\r\n\n" + STREAM,
        b": queued\n\n" + STREAM,
        *(line + STREAM for line in (b"event: e\n", b"id: 1\n", b"retry: 1\n")),
        ANSWER,
        b"\n\n" + ANSWER,
    ],
)
async def test_type_of_an_answer_does_not_matter(kind: str, size: int, body: bytes) -> None:
    assert text_of(await read(Response(kind, body, size), OpenAIDialect())) == "hi"


@pytest.mark.parametrize("kind", ["", SSE, AWS, JSON, "application/octet-stream"])
@pytest.mark.parametrize("size", [0, 1])
async def test_events_of_aws_are_known_by_their_first_byte(kind: str, size: int) -> None:
    frames = await read(Response(kind, RECORDED.body, size), BedrockDialect())
    assert text_of(frames) == text_of(await read(Response(AWS, RECORDED.body), BedrockDialect())) != ""


@pytest.mark.parametrize("kind", ["", SSE, AWS, JSON])
@pytest.mark.parametrize("body", [b"", b"\n", b"dat", b"<html>", b"d" * 9000, b"\n" * 9000, b"\0\0", ANSWER[:-1]])
async def test_what_is_no_answer_is_an_error(kind: str, body: bytes) -> None:
    with pytest.raises(UpstreamError):
        await read(Response(kind, body), OpenAIDialect())


@pytest.mark.parametrize("kind", ["", SSE, JSON])
async def test_error_in_place_of_a_stream_is_told_in_the_providers_words(kind: str) -> None:
    with pytest.raises(UpstreamError, match="no such luck"):
        await read(Response(kind, b'{"error": {"message": "no such luck"}}'), OpenAIDialect())


async def test_lines_that_begin_with_an_unknown_field_are_a_stream_where_the_type_says_so() -> None:
    assert text_of(await read(Response(SSE, b"x: 1\n" + STREAM), OpenAIDialect())) == "hi"


@pytest.mark.parametrize(
    ("kind", "body", "waited_s"), [(SSE, STREAM, IDLE_S), (JSON, ANSWER, math.inf), ("", ANSWER, math.inf)]
)
async def test_a_whole_answer_may_take_its_time_to_the_deadline(kind: str, body: bytes, waited_s: float) -> None:
    response = Response(kind, body)
    await read(response, OpenAIDialect())
    assert set(response.waited_s) == {waited_s}


@pytest.mark.parametrize("before", [b"", b": queued\n\n"])
async def test_silence_is_bounded_once_an_answer_shows_that_it_is_a_stream(before: bytes) -> None:
    response = Response(JSON, before + STREAM, len(before or EVENT))
    await read(response, OpenAIDialect())
    assert response.waited_s[0] == math.inf
    assert set(response.waited_s[1:]) == {IDLE_S}


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("rest", [b"", b"\n", b'data: {"choices":[],"usage":{"prompt_to'])
async def test_connection_lost_after_every_finish_is_a_good_end(size: int, rest: bytes) -> None:
    lost = UpstreamError(UpstreamErrorKind.PROTOCOL, "lost")
    assert text_of(await read(Response(SSE, EVENT + rest, size, lost), OpenAIDialect())) == "hi"


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("body", [b"", b"dat", EVENT.replace(b'"stop"', b"null"), ANSWER[:-1]])
async def test_connection_lost_before_that_is_what_went_wrong(size: int, body: bytes) -> None:
    lost = UpstreamError(UpstreamErrorKind.CONNECT, "lost")
    with pytest.raises(UpstreamError) as raised:
        await read(Response(SSE, body, size, lost), OpenAIDialect())
    assert raised.value is lost
