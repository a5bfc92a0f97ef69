"""Anthropic's Messages API as clients speak it, whatever provider answers."""

from dataplane.call import Call, JsonObject
from dataplane.dialects.anthropic.client_errors import render_error
from dataplane.dialects.anthropic.client_request import parse_request
from dataplane.dialects.anthropic.client_result import render_result
from dataplane.dialects.anthropic.client_stream import AnthropicStreamRenderer
from dataplane.dialects.base import Frame
from dataplane.errors import GatewayError


class AnthropicFormat:
    def parse_request(self, call: Call) -> Call:
        return parse_request(call)

    def render_result(self, call: Call, frame: Frame) -> bytes:
        return render_result(call, frame)

    def stream_renderer(self, call: Call) -> AnthropicStreamRenderer:
        return AnthropicStreamRenderer(call)

    def render_error(self, error: GatewayError) -> JsonObject:
        return render_error(error)
