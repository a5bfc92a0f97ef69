"""How answers go out: whole or as a stream, at the pace and with the faults that the model's name asks for."""

import asyncio
from collections.abc import Iterator
from itertools import islice

from aiohttp import web

from tollctl.sim.answers import Choice
from tollctl.sim.asks import Ask
from tollctl.sim.formats import DONE, Event
from tollctl.sim.models import Behaviour
from tollctl.sim.served import Served

_EVENTS_PER_WRITE = 128
_DRIP_INTERVAL_S = 0.005
_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_BROKEN_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":\n\n'
_BROKEN_OFF = (Behaviour.CUTOFF, Behaviour.MALFORMED)


async def send_whole(
    request: web.Request, ask: Ask, body: bytes, choices: list[Choice], served: Served
) -> web.StreamResponse:
    tokens = sum(choice.tokens for choice in choices)
    behaviour = ask.model.behaviour
    await served.announce(0)
    if behaviour in (Behaviour.STREAM, Behaviour.LINGER):
        await asyncio.sleep(tokens / ask.model.amount)
    if behaviour in _BROKEN_OFF and tokens > ask.model.amount:
        return await _send_part(request, body) if behaviour is Behaviour.CUTOFF else answer(body[: len(body) // 2])
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("the client left before the answer")
    served.words = tokens
    await served.announce_end()
    if behaviour is Behaviour.DRIP:
        response = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(body))})
        await response.prepare(request)
        await _write_drops(response, body, ask.model.amount)
        served.complete()
        return response
    served.complete()
    return answer(body)


async def stream(request: web.Request, ask: Ask, events: Iterator[Event], served: Served) -> web.StreamResponse:
    await served.announce(0)
    response = web.StreamResponse(headers=_STREAM_HEADERS)
    response.enable_chunked_encoding()
    await response.prepare(request)
    match ask.model.behaviour:
        case Behaviour.STREAM:
            await _write_paced(response, events, ask.model.amount, served)
        case Behaviour.LINGER:
            await _write_lingering(response, events, ask.model.amount, served)
        case Behaviour.DRIP:
            await _write_dripping(response, events, ask.model.amount, served)
        case Behaviour.CUTOFF | Behaviour.MALFORMED:
            events, is_cut = _cut_events(list(events), ask.model.amount)
            await _write_fast(response, events, served)
            if is_cut:
                return await _break_off(request, response, ask)
        case _:
            await _write_fast(response, events, served)
    await served.announce_end()
    await response.write(DONE)
    served.complete()
    return response


def answer(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


async def _send_part(request: web.Request, body: bytes) -> web.StreamResponse:
    """Announce the whole body, send half of it and close the connection."""
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _cut(request)
    return response


async def _break_off(request: web.Request, response: web.StreamResponse, ask: Ask) -> web.StreamResponse:
    if ask.model.behaviour is Behaviour.MALFORMED:
        await response.write(_BROKEN_EVENT)
    _cut(request)
    return response


async def _write_fast(response: web.StreamResponse, events: Iterator[Event], served: Served) -> None:
    """Write as fast as the client reads, many events at a time."""
    while batch := list(islice(events, _EVENTS_PER_WRITE)):
        words = sum(event.words for event in batch)
        await served.announce(words)
        await response.write(b"".join([event.data for event in batch]))
        served.words += words


async def _write_dripping(
    response: web.StreamResponse, events: Iterator[Event], drop_bytes: int, served: Served
) -> None:
    for event in events:
        await served.announce(event.words)
        await _write_drops(response, event.data, drop_bytes)
        served.words += event.words


async def _write_drops(response: web.StreamResponse, data: bytes, drop_bytes: int) -> None:
    for start in range(0, len(data), drop_bytes):
        await response.write(data[start : start + drop_bytes])
        await asyncio.sleep(_DRIP_INTERVAL_S)


async def _write_paced(
    response: web.StreamResponse | None, events: Iterator[Event], words_per_second: int, served: Served
) -> None:
    """Write `words_per_second`, catching up where the loop was late; the first word comes after one interval.

    Without `response` the words are made all the same.
    """
    clock = asyncio.get_running_loop()
    start = clock.time() - served.words / words_per_second
    for event in events:
        due = start + (served.words + event.words) / words_per_second
        if (delay := due - clock.time()) > 0:
            await asyncio.sleep(delay)
        await served.announce(event.words)
        if response is not None:
            await response.write(event.data)
        served.words += event.words


async def _write_lingering(
    response: web.StreamResponse, events: Iterator[Event], words_per_second: int, served: Served
) -> None:
    """What is left when the client leaves is made without it, and counts."""
    all_events = list(events)
    try:
        await _write_paced(response, iter(all_events), words_per_second, served)
    except (ConnectionError, asyncio.CancelledError):
        rest, _ = _cut_events(all_events, served.words)
        left = all_events[len(list(rest)) :]
        served.linger(_go_on(iter(left), words_per_second, served))
        raise


async def _go_on(events: Iterator[Event], words_per_second: int, served: Served) -> None:
    try:
        await _write_paced(None, events, words_per_second, served)
    finally:
        served.close()


def _cut_events(events: list[Event], chunks: int) -> tuple[Iterator[Event], bool]:
    """The events up to the chunk with the last word to send, and whether any is left out."""
    seen = 0
    for place, event in enumerate(events):
        if event.words and seen == chunks:
            return iter(events[:place]), True
        seen += event.words
    return iter(events), False


def _cut(request: web.Request) -> None:
    """Close the connection once what was written is sent; aiohttp then cannot write the answer's end."""
    if request.transport is not None:
        request.transport.close()
