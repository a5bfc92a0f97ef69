"""AWS event streams, whole and in pieces, sound and corrupt."""

import struct
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.dialects.base import SseEvent
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.upstream.eventstream import MAX_MESSAGE_BYTES, EventStreamDecoder
from tests.golden.recordings import Recording, read_recordings

STREAMS = [r for r in read_recordings("bedrock") if r.is_stream and r.status == 200]
OTHER_VALUES = b"\x01t\x00" + b"\x01f\x01" + b"\x01b\x02\x07" + b"\x01s\x03\x00\x07" + b"\x01i\x04\x00\x00\x00\x07"
MORE_VALUES = (
    b"\x01l\x05" + b"\x00" * 8 + b"\x01y\x06\x00\x02ab" + b"\x01d\x08" + b"\x00" * 8 + b"\x01u\x09" + b"\x00" * 16
)


def header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()


def message(payload: bytes, headers: bytes = b"", size: int | None = None) -> bytes:
    """One message; `size` is told instead of its true length."""
    total = size or 16 + len(headers) + len(payload)
    lengths = struct.pack(">II", total, len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(name: str, payload: bytes) -> bytes:
    return message(payload, header(":message-type", "event") + header(":event-type", name))


def decode(*pieces: bytes) -> tuple[list[SseEvent], str]:
    """Events, and how the stream ended: "" or the error's words."""
    decoder, events = EventStreamDecoder(), []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        events += decoder.finish()
    except UpstreamError as error:
        assert error.kind is UpstreamErrorKind.PROTOCOL
        return events, error.message
    return events, ""


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def test_events_have_the_name_of_their_type() -> None:
    stream = event("a", b"{}") + message(b"x", OTHER_VALUES + MORE_VALUES + header(":event-type", "b")) + message(b"")
    assert decode(stream) == ([SseEvent("a", b"{}"), SseEvent("b", b"x"), SseEvent("", b"")], "")


def test_exceptions_and_errors_are_named_so() -> None:
    exception = header(":message-type", "exception") + header(":exception-type", "throttlingException")
    error = header(":message-type", "error") + header(":error-code", "InternalFailure") + header(":error-message", "no")
    assert decode(message(b'{"message":"slow"}', exception) + message(b"", error)) == (
        [
            SseEvent("exception:throttlingException", b'{"message":"slow"}'),
            SseEvent("exception:InternalFailure", b'{"message":"no"}'),
        ],
        "",
    )


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", b'{"message":"no"}'),
        (b"{}", b'{"message":"no"}'),
        (b" \n", b'{"message":"no"}'),
        (b"null", b'{"message":"no"}'),
        (b'{"message":null}', b'{"message":"no"}'),
        (b'{"message":"why"}', b'{"message":"why"}'),
        (b"plain", b"plain"),
    ],
)
def test_words_of_an_error_are_its_headers_where_its_payload_says_nothing(payload: bytes, said: bytes) -> None:
    headers = header(":message-type", "error") + header(":error-code", "X") + header(":error-message", "no")
    assert decode(message(payload, headers)) == ([SseEvent("exception:X", said)], "")


@given(
    st.lists(st.builds(event, st.sampled_from(["a", "häh", ""]), st.binary(max_size=20)), max_size=4).map(b"".join),
    st.binary(max_size=12),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_pieces_make_no_difference(stream: bytes, rest: bytes, cuts: list[int]) -> None:
    stream += rest
    places = sorted({min(cut, len(stream)) for cut in cuts})
    pieces = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
    assert decode(*pieces) == decode(stream) == decode(*bytewise(stream))


def test_an_event_that_breaks_off_is_none() -> None:
    first, second = event("a", b"1"), event("b", b"2")
    for size in range(len(second)):
        assert decode(first + second[:size]) == ([SseEvent("a", b"1")], "")


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_one_wrong_byte_is_noticed(at: int, change: int) -> None:
    whole = bytearray(event("a", b"first") + event("b", b"second"))
    before = decode(bytes(whole))[0]
    whole[at % len(whole)] ^= change
    events, ended = decode(bytes(whole))
    assert ended
    assert events == before[: len(events)]
    assert decode(*bytewise(bytes(whole))) == (events, ended)


@given(st.binary(max_size=60))
@settings(max_examples=50)
def test_any_bytes_and_any_headers_are_events_or_an_upstream_error(data: bytes) -> None:
    assert not decode(data)[0]
    decode(message(b"", data))


@pytest.mark.parametrize(
    "headers", [b"\x05ab", b"\x01a\x0c", b"\x01a", b"\x01a\x07\x00", b"\x01a\x07\x00\x09b", b"\x01a\x05\x00"]
)
def test_wrong_headers_are_corrupt(headers: bytes) -> None:
    assert "headers" in decode(message(b"", headers))[1]


@pytest.mark.parametrize(
    ("size", "words"), [(MAX_MESSAGE_BYTES + 1, "too large"), (15, "lengths"), (2**32 - 1, "large")]
)
def test_impossible_lengths_are_refused_at_once(size: int, words: str) -> None:
    with pytest.raises(UpstreamError, match=words):
        EventStreamDecoder().feed(message(b"abc", size=size))


def test_error_stays() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(event("a", b"1") + b"\x00" * 12) == [SseEvent("a", b"1")]
    for data in (b"", event("a", b"1")):
        with pytest.raises(UpstreamError):
            decoder.feed(data)
    with pytest.raises(UpstreamError):
        decoder.finish()


def test_large_event_in_many_pieces_takes_linear_time() -> None:
    stream = event("a", b"x" * (MAX_MESSAGE_BYTES - 100))
    began_s = time.process_time()
    events, ended = decode(*(stream[at : at + 1400] for at in range(0, len(stream), 1400)))
    assert time.process_time() - began_s < 1.0
    assert ([len(one.data) for one in events], ended) == ([MAX_MESSAGE_BYTES - 100], "")


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_recordings_decode_alike_however_they_are_split(recording: Recording) -> None:
    whole = decode(recording.body)
    assert whole[1] == ""
    assert whole[0]
    step = max(1, len(recording.body) // 100)
    for at in range(1, len(recording.body), step):
        assert decode(recording.body[:at], recording.body[at:]) == whole
    assert decode(*bytewise(recording.body)) == whole
