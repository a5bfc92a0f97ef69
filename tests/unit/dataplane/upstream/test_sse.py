"""Server-sent events, whole and in pieces."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.base import SseEvent
from dataplane.errors import UpstreamError
from dataplane.upstream.sse import MAX_EVENT_BYTES, SseDecoder

STREAMS = st.lists(
    st.sampled_from(
        [b"data: a", b"data:b", b"event: e", b": c", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"x"]
    ),
    max_size=24,
).map(b"".join)


def decode(*pieces: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata:b\n\n", [SseEvent("", b"a"), SseEvent("", b"b")]),
        (b"event: e\r\ndata: a\r\ndata: b\r\n\r\n", [SseEvent("e", b"a\nb")]),
        (b": comment\n\nid: 1\n\ndata\n\n", [SseEvent("", b"")]),
        (b"\xef\xbb\xbfdata: a\n\n", [SseEvent("", b"a")]),
        (b"\n\n\xef\xbb\xbfdata: a\n\ndata: b", [SseEvent("", b"b")]),
    ],
)
def test_events(stream: bytes, events: list[SseEvent]) -> None:
    assert decode(stream) == events


@given(STREAMS, st.lists(st.integers(0, 60)))
def test_pieces_make_no_difference(stream: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(stream)) for cut in cuts})
    bounds = zip([0, *places], [*places, len(stream)], strict=True)
    assert decode(*(stream[start:end] for start, end in bounds)) == decode(stream)
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == decode(stream)


def test_large_event_in_many_pieces_takes_linear_time() -> None:
    stream = b"data: " + b"x" * (MAX_EVENT_BYTES - 100) + b"\n\n"
    began_s = time.process_time()
    events = decode(*(stream[i : i + 1400] for i in range(0, len(stream), 1400)))
    assert time.process_time() - began_s < 1.0
    assert events == decode(stream)


@pytest.mark.parametrize("size", [1 << 20, 8 << 20])
@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_event_that_is_too_large_is_refused(size: int, end: bytes) -> None:
    stream = b"data: " + b"x" * MAX_EVENT_BYTES + end
    with pytest.raises(UpstreamError):
        decode(*(stream[i : i + size] for i in range(0, len(stream), size)))


def test_many_small_events_may_arrive_at_once() -> None:
    event, count = b"data: " + b"x" * 1000 + b"\n\n", MAX_EVENT_BYTES // 1000
    assert len(decode(event * count)) == count
