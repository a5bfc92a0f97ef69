"""Gemini's format, as Google AI Studio and Vertex AI speak it: translated from and to the hub's."""

from collections.abc import Mapping

from dataplane.call import Call, UpstreamRequest
from dataplane.dialects.base import NO_HEADERS, Frame, ProviderSpec
from dataplane.dialects.gemini.embeddings import parse_embeddings
from dataplane.dialects.gemini.errors import parse_error
from dataplane.dialects.gemini.request import render_request
from dataplane.dialects.gemini.response import parse_completion, parse_count
from dataplane.dialects.gemini.stream import GeminiStreamParser, parse_completion_chunks
from dataplane.errors import UpstreamError
from dataplane.snapshot import Target


class GeminiDialect:
    def render_request(self, call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
        return render_request(call, target, provider)

    def parse_result(self, call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
        match call.endpoint.name:
            case "embeddings":
                return parse_embeddings(call, body)
            case "count_tokens":
                return parse_count(body)
            case _:
                return parse_completion(call, body)

    def parse_result_chunks(self, call: Call, body: bytes) -> list[Frame]:
        return parse_completion_chunks(call, body)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return parse_error(status, headers, body)

    def stream_parser(self, call: Call) -> GeminiStreamParser:
        return GeminiStreamParser(call)
