"""AWS Bedrock: chats through Converse, token counts, and the embeddings and rankings of models that make them."""

from collections.abc import Mapping

from dataplane.call import Call, UpstreamRequest
from dataplane.dialects.base import NO_HEADERS, Frame, ProviderSpec
from dataplane.dialects.bedrock.errors import parse_error
from dataplane.dialects.bedrock.request import render_request
from dataplane.dialects.bedrock.response import parse_result, parse_result_chunks
from dataplane.dialects.bedrock.stream import BedrockStreamParser
from dataplane.errors import UpstreamError
from dataplane.snapshot import Target


class BedrockDialect:
    """Translates calls in the hub's format; Bedrock's own is spoken by no client."""

    def render_request(self, call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
        return render_request(call, target, provider)

    def parse_result(self, call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
        return parse_result(call, body, headers)

    def parse_result_chunks(self, call: Call, body: bytes) -> list[Frame]:
        return parse_result_chunks(call, body)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return parse_error(status, headers, body)

    def stream_parser(self, call: Call) -> BedrockStreamParser:
        return BedrockStreamParser(call)
