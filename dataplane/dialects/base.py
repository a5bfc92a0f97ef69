"""What a dialect is, and the frames that it parses answers into."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dataplane.call import Call, Endpoint, UpstreamRequest
from dataplane.errors import UpstreamError
from dataplane.snapshot import Target
from tollway.kernel.usage import Usage


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """One row of the provider catalog: where a provider is, how it is spoken to and how it wants its credential.

    `paths` maps Endpoint.name to the path below the base URL; an endpoint that is not there is not offered.
    `auth` is the header that carries the credential and the text before it. `output_limit` names the member that bounds
    the tokens of an answer, by Endpoint.name, where it is not "max_tokens".
    """

    name: str
    dialect: str
    paths: Mapping[str, str]
    base_url: str = ""
    auth: tuple[str, str] = ("authorization", "Bearer ")
    output_limit: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One server-sent event: its `event:` field, "" without one, and its data lines joined by LF."""

    event: str
    data: bytes


@dataclass(slots=True)
class Frame:
    """One typed unit of response: a chunk of a stream, or the one result of a call.

    `data` is the JSON text as the client gets it; that of a chunk holds no line break. `is_content` is False for
    what precedes the answer proper, so that an attempt can still be given up; `is_usage_only` marks the extra chunk
    that only reports usage.
    `text_bytes` and `deltas` count generated text, for estimates when no usage is reported. `service_tier` is the
    class of service that the answer says it is, "" for the ordinary one, None where it says nothing.
    """

    data: bytes = field(repr=False)
    model: str = ""
    usage: Usage | None = None
    is_content: bool = True
    is_usage_only: bool = False
    text_bytes: int = 0
    deltas: int = 0
    service_tier: str | None = None


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
        """What `target` is sent."""
        ...

    def parse_result(self, endpoint: Endpoint, body: bytes) -> Frame:
        """The one frame of a complete answer. Raises UpstreamError when it is not one."""
        ...

    def parse_result_chunks(self, endpoint: Endpoint, body: bytes) -> list[Frame]:
        """A complete answer as the frames of a stream, at least one. Raises UpstreamError when it is not one."""
        ...

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """The error that an answer with a status of 400 or above stands for; header names are lower-case."""
        ...

    def stream_parser(self, endpoint: Endpoint) -> StreamParser:
        """A fresh parser for one stream."""
        ...
