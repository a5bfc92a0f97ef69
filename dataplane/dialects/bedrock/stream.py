"""A stream of ConverseStream, translated into the hub's chunks."""

from collections.abc import Iterable
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.bedrock.answer import delta_bytes, envelope, invoked_model
from dataplane.dialects.bedrock.blocks import BlockTranslator
from dataplane.dialects.bedrock.errors import is_exception, parse_exception
from dataplane.dialects.bedrock.usage import is_unused, parse_service_tier, parse_usage, tier_of
from dataplane.dialects.hub import object_of, usage_object
from dataplane.dialects.openai.mending import encode
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError, UpstreamErrorKind

_EXCEPTION: Final = "exception:"
_FIELDS: Final = "additionalModelResponseFields"
_EVENTS: Final = frozenset(
    (
        *("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop"),
        "metadata",
    )
)


class BedrockStreamParser:
    """State of one stream: `metadata`, with the usage, comes after the message has stopped, and is its last event.

    `_text_bytes` and `_deltas` are what its frames have counted.
    """

    def __init__(self, call: Call) -> None:
        self._envelope = envelope(call, "chat.completion.chunk")
        self._blocks = BlockTranslator(call)
        self._metadata: JsonObject | None = None
        self._has_begun = False
        self._has_stopped = False
        self._stop: JsonObject = {}
        self._text_bytes = 0
        self._deltas = 0

    @property
    def is_over(self) -> bool:
        return self._has_stopped and self._metadata is not None

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        name = event.event
        if name.startswith(_EXCEPTION) or is_exception(name):
            raise parse_exception(name.removeprefix(_EXCEPTION), event.data)
        if name not in _EVENTS or self.is_over:
            return ()
        payload = _load(event)
        match name:
            case "contentBlockStart":
                return self._on_block(self._blocks.start(_index(payload), object_of(payload.get("start"))))
            case "contentBlockDelta":
                return self._on_block(self._blocks.add(_index(payload), object_of(payload.get("delta"))))
            case "contentBlockStop":
                return self._on_block(self._blocks.stop(_index(payload)))
            case "messageStop":
                return self._on_message_stop(payload)
            case "metadata":
                return self._on_metadata(payload)
        return self._begun()

    def feed_blocks(self, blocks: list[JsonObject]) -> Iterable[Frame]:
        """Frames of content blocks that are complete already."""
        return self._on_block([delta for at, block in enumerate(blocks) for delta in self._blocks.whole(at, block)])

    def finish(self) -> Iterable[Frame]:
        if not self._has_begun:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's stream holds no answer.")
        if not self._has_stopped:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream broke off its answer.")
        return ()

    def _begun(self) -> list[Frame]:
        """The chunk that every stream begins with, unless it has."""
        if self._has_begun:
            return []
        self._has_begun = True
        frame = self._chunk({"role": "assistant", "content": ""})
        frame.is_content = False
        return [frame]

    def _on_block(self, deltas: list[JsonObject]) -> list[Frame]:
        if self._has_stopped:
            return []
        return [*self._begun(), *(self._chunk(delta) for delta in deltas)]

    def _on_message_stop(self, payload: JsonObject) -> list[Frame]:
        if self._has_stopped:
            return []
        deltas, finish = self._blocks.finish(payload.get("stopReason"))
        frames = [*self._on_block(deltas), self._chunk({}, finish, payload.get(_FIELDS))]
        self._has_stopped, self._stop = True, payload
        return [*frames, *self._usage_chunk()]

    def _on_metadata(self, payload: JsonObject) -> list[Frame]:
        """Notes what the answer used; it is told once the message has stopped."""
        self._metadata = payload
        return self._usage_chunk() if self._has_stopped else []

    def _usage_chunk(self) -> list[Frame]:
        """The chunk with the usage, if it is told. Where none was used, it takes back what was counted as generated."""
        usage = parse_usage((self._metadata or {}).get("usage"), self._blocks.searches)
        if self._metadata is None or usage is None:
            return []
        chunk: JsonObject = {**self._envelope, "choices": [], "usage": usage_object(usage)}
        if (tier := tier_of(self._metadata)) is not None:
            chunk["service_tier"] = tier
        if self._metadata.get("trace") is not None:
            chunk["trace"] = self._metadata["trace"]
        frame = Frame(
            encode(chunk),
            model=invoked_model(self._metadata),
            usage=usage,
            is_usage_only=True,
            service_tier=parse_service_tier(self._metadata),
        )
        if is_unused(self._stop, usage):
            frame.text_bytes, frame.deltas = -self._text_bytes, -self._deltas
        return [frame]

    def _chunk(self, delta: JsonObject, finish: str | None = None, fields: Any = None) -> Frame:
        """A chunk with `delta`; `fields` are what the client asked of the model's own answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._envelope, "choices": [choice]}
        if fields is not None:
            chunk[_FIELDS] = fields
        size = delta_bytes(delta)
        self._text_bytes += size
        self._deltas += size > 0
        return Frame(encode(chunk), text_bytes=size, deltas=1 if size else 0)


def _load(event: SseEvent) -> JsonObject:
    try:
        payload: Any = parse_payload(event.data)
    except ValueError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent an event that is not JSON.") from error
    if not isinstance(payload, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent an event that is not a JSON object.")
    return payload


def _index(payload: JsonObject) -> int:
    """The number of a block: what cannot be one is 0."""
    index = payload.get("contentBlockIndex")
    return index if isinstance(index, int) else 0
