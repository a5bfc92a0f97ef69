"""Answers for clients that know functions, and no tools, in the words that they know. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from dataplane.call import HUB, Call, JsonObject, UpstreamRequest
from dataplane.dialects.base import NO_HEADERS, Dialect, Frame, ProviderSpec, SseEvent, StreamParser
from dataplane.dialects.hub import list_of, object_of
from dataplane.dialects.openai.functions import NO_FUNCTIONS
from dataplane.dialects.openai.mending import encode
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError
from dataplane.snapshot import Target

_TOOL_CALLS: Final = "tool_calls"
_FUNCTION_CALL: Final = "function_call"
_TOLD: Final = b'"tool_calls"'
_TEXTS: Final = ("name", "arguments")


def in_functions(dialect: Dialect, call: Call, provider: ProviderSpec) -> Dialect:
    """`dialect` as it answers `call` at `provider`: with a `function_call` where tools were made of functions.

    It is the same object for all other calls, and where functions are sent on as such.
    """
    body = call.body
    if not body.get("functions") or body.get("tools") is not None or call.endpoint.format != HUB or call.is_translated:
        return dialect
    is_understood = provider.dialect == HUB and NO_FUNCTIONS not in provider.traits
    return dialect if is_understood else _FunctionsDialect(dialect)


class _FunctionsDialect:
    """A dialect that answers with calls of tools, told as calls of functions."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def render_request(self, call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
        return self._dialect.render_request(call, target, provider)

    def parse_result(self, call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
        return _FunctionTeller().tell(self._dialect.parse_result(call, body, headers))

    def parse_result_chunks(self, call: Call, body: bytes) -> list[Frame]:
        teller = _FunctionTeller()
        return [teller.tell(frame) for frame in self._dialect.parse_result_chunks(call, body)]

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return self._dialect.parse_error(status, headers, body)

    def stream_parser(self, call: Call) -> StreamParser:
        return _FunctionsParser(self._dialect.stream_parser(call))


class _FunctionsParser:
    """The stream of such a dialect."""

    def __init__(self, parser: StreamParser) -> None:
        self._parser = parser
        self._teller = _FunctionTeller()

    @property
    def is_over(self) -> bool:
        return self._parser.is_over

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        return map(self._teller.tell, self._parser.feed(event))

    def finish(self) -> Iterable[Frame]:
        return map(self._teller.tell, self._parser.finish())


class _FunctionTeller:
    """Tells the calls of one answer. `_told` are, by choice, the indexes of those that clients are told.

    Where a choice has several calls, though it was asked for one at a time, the first one is told: the model, which
    then hears what came of that one alone, asks again for what it still wants.
    """

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[int, Any] = {}

    def tell(self, frame: Frame) -> Frame:
        """`frame`, in whose data calls of tools are now one of a function. Raises UpstreamError for too deep data."""
        if _TOLD in frame.data:
            answer = parse_payload(frame.data)
            for choice in list_of(object_of(answer).get("choices")):
                if isinstance(choice, dict):
                    self._adapt(choice)
            frame.data = encode(answer)
        return frame

    def _adapt(self, choice: JsonObject) -> None:
        if choice.get("finish_reason") == _TOOL_CALLS:
            choice["finish_reason"] = _FUNCTION_CALL
        index = choice.get("index")
        for member in ("message", "delta"):
            said = choice.get(member)
            if isinstance(said, dict) and _TOOL_CALLS in said:
                function = self._function(index if type(index) is int else 0, list_of(said.pop(_TOOL_CALLS)))
                if function:
                    said[_FUNCTION_CALL] = function

    def _function(self, choice: int, calls: list[Any]) -> JsonObject:
        """What `calls`, or pieces of calls, have of the one that is told; empty where that is nothing."""
        function: JsonObject = {}
        for position, call in enumerate(calls):
            said = object_of(call)
            at = said.get("index", position)
            if self._told.setdefault(choice, at) != at:
                continue
            told = object_of(said.get("function"))
            for name in _TEXTS:
                if isinstance(told.get(name), str):
                    function[name] = function.get(name, "") + told[name]
        return function
