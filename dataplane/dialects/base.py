"""What a dialect is, and the frames that it parses answers into.

The hub is OpenAI's chat format. A dialect is handed calls in its own format, which it forwards value for value, or in
the hub's, which it translates; its frames are in the format of the call that it was handed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias

from dataplane.call import HUB, Call, JsonObject, UpstreamRequest
from dataplane.errors import GatewayError, UpstreamError
from dataplane.snapshot import Target
from tollway.kernel.usage import Usage
from tollway.resources.providers import ProviderRow

ProviderSpec: TypeAlias = ProviderRow
"""One row of the provider catalog, in which no case is left open."""
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class SseEvent(NamedTuple):
    """One server-sent event: its `event:` field, "" without one, and its data lines joined by LF."""

    event: str
    data: bytes


@dataclass(slots=True)
class Frame:
    """One typed unit of response: a chunk of a stream, or the one result of a call.

    `data` is the JSON text in the format of the call; that of a chunk holds no line break, and is empty where the frame
    is for none but the meter. `event` names its event, where the format has names for them; `format` is the dialect
    that it is in. `is_content` is False for what precedes the answer proper, so that an attempt can still be given up;
    `is_usage_only` marks what comes after it and says what all of it used; `is_estimate` says that its usage was worked
    out, and is not what the upstream told. `text_bytes` and `deltas` count generated text, for estimates when no usage
    is reported; below zero they take back what was counted before. `service_tier` is the class of service that the
    answer says it is, "" for the ordinary one, None where it says nothing.
    """

    data: bytes = field(repr=False)
    model: str = ""
    usage: Usage | None = None
    is_content: bool = True
    is_usage_only: bool = False
    is_estimate: bool = False
    text_bytes: int = 0
    deltas: int = 0
    service_tier: str | None = None
    event: str = ""
    format: str = HUB


class StreamParser(Protocol):
    """State of one stream; `feed` for each event, then `finish` once it is over or the upstream has ended it."""

    @property
    def is_over(self) -> bool:
        """Whether an event has said that the stream is at its end: nothing after it counts."""
        ...

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        """Frames that `event` completes. Raises UpstreamError for an error that the stream carries."""
        ...

    def finish(self) -> Iterable[Frame]:
        """Frames still owed. Raises UpstreamError when the stream broke off before its end."""
        ...


class Dialect(Protocol):
    """A wire format. Inputs are never mutated: a render runs again for each attempt."""

    def render_request(self, call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
        """What `target` is sent. Raises InvalidRequest for content that the dialect cannot say."""
        ...

    def parse_result(self, call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
        """The one frame of a complete answer to `call`. Raises UpstreamError when it is not one.

        `headers` are the answer's, with lower-case names: some tell only there what was used.
        """
        ...

    def parse_result_chunks(self, call: Call, body: bytes) -> list[Frame]:
        """A complete answer as the frames of a stream, at least one. Raises UpstreamError when it is not one."""
        ...

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """The error that an answer with a status of 400 or above stands for; header names are lower-case."""
        ...

    def stream_parser(self, call: Call) -> StreamParser:
        """A fresh parser for the stream that answers `call`."""
        ...


class StreamRenderer(Protocol):
    """State of one answer on its way to a client that speaks another format than the hub's."""

    def feed(self, frame: Frame) -> bytes:
        """Server-sent events for a frame in the hub's format, or one that is in the client's already; b"" for none."""
        ...

    def finish(self) -> bytes:
        """What ends the stream well."""
        ...

    def fail(self, error: GatewayError) -> bytes:
        """What tells `error` inside the stream, and ends it."""
        ...


class ClientFormat(Protocol):
    """A dialect as clients speak it."""

    def parse_request(self, call: Call) -> Call:
        """`call`, which is in this format, in the hub's. Raises InvalidRequest for content that the hub cannot say."""
        ...

    def render_result(self, call: Call, frame: Frame) -> bytes:
        """The body of a complete answer, from a frame in the hub's format or one that is in this format already."""
        ...

    def stream_renderer(self, call: Call) -> StreamRenderer:
        """A fresh renderer of the stream that answers `call`, which is in this format."""
        ...

    def render_error(self, error: GatewayError) -> JsonObject:
        """The body of an answer that tells `error`."""
        ...


@dataclass(frozen=True, slots=True)
class Catalog:
    """Providers and dialects by name, and client formats, other than the hub's, by the name of their dialect."""

    providers: Mapping[str, ProviderSpec]
    dialects: Mapping[str, Dialect]
    formats: Mapping[str, ClientFormat]
