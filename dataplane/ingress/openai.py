"""The endpoints that go to upstreams: which there are, and how a request to one becomes a Call."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from dataplane.call import COUNT_TOKENS, HUB, Call, Endpoint, JsonObject
from dataplane.errors import (
    BodyTimeout,
    BodyTooLarge,
    ClientGone,
    InvalidRequest,
    ModelNotFound,
    UnsupportedEncoding,
)
from dataplane.ingress.json_gate import LARGE_BODY_BYTES, parse_object
from dataplane.ingress.labels import parse_metadata, parse_timeout_s, parse_user
from dataplane.snapshot import Snapshot, VirtualKey

ENDPOINTS = (
    Endpoint("chat_completions", "/v1/chat/completions", "chat", can_stream=True),
    Endpoint("completions", "/v1/completions", "text_completion", can_stream=True),
    Endpoint("embeddings", "/v1/embeddings", "embeddings", can_stream=False),
    Endpoint("rerank", "/v1/rerank", "rerank", can_stream=False),
    Endpoint("rerank", "/v2/rerank", "rerank", can_stream=False),
    Endpoint("messages", "/v1/messages", "chat", can_stream=True, format="anthropic"),
    Endpoint("count_tokens", "/v1/messages/count_tokens", COUNT_TOKENS, can_stream=False, format="anthropic"),
)
_FORWARDED: Mapping[str, tuple[str, ...]] = {
    HUB: ("openai-beta", "anthropic-beta"),
    "anthropic": ("anthropic-beta", "anthropic-version"),
}
"""Headers that a client means for the provider, by the format that it speaks."""
_CONTINUE = "100-continue"
_CLIENT_REQUEST_ID_LENGTH = 128
_MODEL_LENGTH = 512


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much body a request may have, and how long it may take to arrive."""

    max_bytes: int
    timeout_s: float


async def read_body(request: web.BaseRequest, limits: BodyLimits) -> bytes:
    """The whole body. Raises UnsupportedEncoding, BodyTooLarge, BodyTimeout, and ClientGone when it breaks off."""
    encoding = ", ".join(request.headers.getall("content-encoding", ())).strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedEncoding("This Content-Encoding is not supported. Send the body uncompressed.")
    if (request.content_length or 0) > limits.max_bytes:
        raise _too_large(limits)
    if request.headers.get("expect", "").lower() == _CONTINUE:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    if request.content.is_eof():
        body = request.content.read_nowait()
        if len(body) > limits.max_bytes:
            raise _too_large(limits)
        return body
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.timeout_s):
            while piece := await request.content.readany():
                size += len(piece)
                if size > limits.max_bytes:
                    raise _too_large(limits)
                pieces.append(piece)
    except TimeoutError as error:
        raise BodyTimeout(f"The request body did not arrive within {limits.timeout_s:g} s.") from error
    except (ConnectionError, web.RequestPayloadError) as error:
        raise ClientGone("The client left.") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The id that a request got, when it came, on both clocks, and how long its body took to arrive."""

    request_id: str
    start_time_us: int
    start_s: float
    body_wait_s: float


async def parse_body(body: bytes) -> JsonObject:
    """The JSON object that `body` is; a large one is parsed beside the event loop. Raises InvalidRequest."""
    if len(body) > LARGE_BODY_BYTES:
        return await asyncio.to_thread(parse_object, body)
    return parse_object(body)


def parse_call(
    endpoint: Endpoint,
    headers: Mapping[str, str],
    fields: JsonObject,
    snapshot: Snapshot,
    key: VirtualKey,
    arrival: Arrival,
) -> Call:
    """The call that a request is. Raises InvalidRequest naming the field and what it must be."""
    stream = endpoint.can_stream and _flag(fields, "stream")
    return Call(
        request_id=arrival.request_id,
        client_request_id=headers.get("x-request-id", "")[:_CLIENT_REQUEST_ID_LENGTH],
        endpoint=endpoint,
        snapshot=snapshot,
        body=fields,
        model=_model(fields),
        stream=stream,
        wants_usage=stream and _flag(_stream_options(fields), "include_usage", "stream_options."),
        end_user=parse_user(headers.get("x-tollway-user")),
        metadata=parse_metadata(headers.get("x-tollway-metadata")) | dict(key.metadata),
        forwarded_headers={
            name: _plain(name, headers[name]) for name in _FORWARDED[endpoint.format] if name in headers
        },
        timeout_s=parse_timeout_s(headers.get("x-tollway-timeout-ms")),
        start_time_us=arrival.start_time_us,
        start_s=arrival.start_s,
        body_wait_s=arrival.body_wait_s,
    )


def _too_large(limits: BodyLimits) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {limits.max_bytes} bytes. Send less in one call.")


def _model(fields: JsonObject) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest(
            'The field "model" must name a model: a string. GET /v1/models lists those of your key.',
            code="missing_required_parameter" if model is None else "invalid_type",
            param="model",
        )
    if len(model) > _MODEL_LENGTH:
        raise ModelNotFound(f"No model's name is longer than {_MODEL_LENGTH} characters.", param="model")
    if not model.isprintable():
        raise InvalidRequest('The field "model" holds control characters.', code="invalid_value", param="model")
    return model


def _plain(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise InvalidRequest(f'The header "{name}" must be plain ASCII text.', code="invalid_header", param=name)
    return value


def _flag(fields: JsonObject, name: str, before: str = "") -> bool:
    value: Any = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(
            f'The field "{before}{name}" must be true or false.', code="invalid_type", param=f"{before}{name}"
        )
    return bool(value)


def _stream_options(fields: JsonObject) -> JsonObject:
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest(
            'The field "stream_options" must be an object.', code="invalid_type", param="stream_options"
        )
    return options or {}
