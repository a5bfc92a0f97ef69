"""One chat completion through the data plane."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tollctl.errors import CommandError, NotAuthenticated, Refused
from tollctl.web import Address, Answer, Request, send

_READ_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a call took; tokens are None and other parts "" where the answer does not say.

    place: UPSTREAM/MODEL that answered.
    """

    request_id: str
    place: str
    attempts: str
    cost_usd: str
    input_tokens: int | None
    output_tokens: int | None
    duration_ms: int


@dataclass(frozen=True, slots=True)
class DataPlane:
    """Where chat completions go, and under which virtual key."""

    address: Address
    key: str = field(repr=False)
    ca_file: Path | None = None

    def ask(self, body: Mapping[str, Any]) -> Iterator[str | Receipt]:
        """The pieces of the answer's text as they come, and at last the receipt.

        Raises Unreachable, NotAuthenticated, Refused, and CommandError where a stream breaks off.
        """
        started = time.monotonic()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json", "user-agent": "tollctl"}
        content = json.dumps(body).encode()
        request = Request("POST", "/chat/completions", headers, content, _READ_TIMEOUT_S)
        with send(self.address, request, self.ca_file) as answer:
            if answer.status != 200:
                raise _parse_refusal(self.address, answer)
            usage: dict[str, Any] = {}
            for frame in _frames(answer):
                usage = frame.get("usage") or usage
                yield from _texts(frame)
            yield _make_receipt(answer, usage, round((time.monotonic() - started) * 1000))


def _frames(answer: Answer) -> Iterator[dict[str, Any]]:
    """The chunks of a stream, or the one object of an answer that is no stream."""
    if "text/event-stream" not in (answer.headers.get("content-type") or ""):
        yield _parse_object(answer.read())
        return
    for line in answer.lines():
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        frame = _parse_object(data)
        if "error" in frame:
            raise CommandError(f"the answer ended with an error: {_describe(frame['error'])}")
        yield frame
    raise CommandError("the answer broke off before its end")


def _parse_object(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise CommandError("the answer is not in OpenAI's format")
    return parsed


def _texts(frame: dict[str, Any]) -> Iterator[str]:
    for choice in frame.get("choices") or ():
        message = choice.get("delta") or choice.get("message") or {}
        for name in ("content", "refusal"):
            if isinstance(message.get(name), str):
                yield message[name]


def _make_receipt(answer: Answer, usage: dict[str, Any], duration_ms: int) -> Receipt:
    def header(name: str) -> str:
        return str(answer.headers.get(name) or "")

    upstream, model = header("x-tollway-upstream"), header("x-tollway-model")
    return Receipt(
        request_id=header("x-request-id"),
        place="/".join(part for part in (upstream.removeprefix("upstreams/"), model) if part),
        attempts=header("x-tollway-attempts"),
        cost_usd=header("x-tollway-cost-usd"),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        duration_ms=duration_ms,
    )


def _parse_refusal(address: Address, answer: Answer) -> CommandError:
    content = answer.read()
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        return CommandError(f"{address} does not answer as a Tollway data plane does (HTTP status {answer.status})")
    request_id = answer.headers.get("x-request-id")
    text = _describe(error) + (f"\n  request {request_id}" if request_id else "")
    if answer.status == 401:
        return NotAuthenticated(f"{text}\n  give a virtual key with --key or TOLLWAY_API_KEY")
    return Refused(answer.status, text)


def _describe(error: object) -> str:
    if not isinstance(error, dict):
        return str(error)
    code = error.get("code")
    return f"{error.get('message')} ({code})" if code else str(error.get("message"))
