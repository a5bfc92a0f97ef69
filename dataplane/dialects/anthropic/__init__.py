"""Anthropic's Messages API as a provider: calls in its own format pass value for value, the hub's are translated."""

from collections.abc import Mapping

from dataplane.call import HUB, Call, UpstreamRequest
from dataplane.dialects.anthropic.errors import parse_error
from dataplane.dialects.anthropic.events import message_events
from dataplane.dialects.anthropic.native import NativeStreamParser
from dataplane.dialects.anthropic.request import render_request
from dataplane.dialects.anthropic.response import parse_message, parse_result
from dataplane.dialects.anthropic.stream import AnthropicStreamParser
from dataplane.dialects.base import NO_HEADERS, Frame, ProviderSpec, StreamParser
from dataplane.errors import UpstreamError
from dataplane.snapshot import Target


class AnthropicDialect:
    """Endpoints are chat_completions and count_tokens in the hub's format, messages and count_tokens in its own."""

    def render_request(self, call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
        return render_request(call, target, provider)

    def parse_result(self, call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
        return parse_result(call, body)

    def parse_result_chunks(self, call: Call, body: bytes) -> list[Frame]:
        parser = self.stream_parser(call)
        return [frame for event in message_events(parse_message(body)) for frame in parser.feed(event)]

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return parse_error(status, headers, body)

    def stream_parser(self, call: Call) -> StreamParser:
        return AnthropicStreamParser(call) if call.endpoint.format == HUB else NativeStreamParser(call)
