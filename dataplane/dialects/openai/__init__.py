"""OpenAI's own format, which is the hub: requests and answers pass value for value."""

from collections.abc import Mapping
from typing import Final

from dataplane.call import Call, UpstreamRequest
from dataplane.dialects.base import NO_HEADERS, Frame, ProviderSpec
from dataplane.dialects.openai.chunks import parse_result_chunks
from dataplane.dialects.openai.errors import parse_error
from dataplane.dialects.openai.request import render_request
from dataplane.dialects.openai.rerank import parse_rerank, render_rerank
from dataplane.dialects.openai.response import parse_result
from dataplane.dialects.openai.stream import OpenAIStreamParser
from dataplane.errors import UpstreamError
from dataplane.snapshot import Target

_RERANK: Final = "rerank"


class OpenAIDialect:
    def render_request(self, call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
        render = render_rerank if call.endpoint.name == _RERANK else render_request
        return render(call, target, provider)

    def parse_result(self, call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
        return parse_rerank(call, body) if call.endpoint.name == _RERANK else parse_result(body, call)

    def parse_result_chunks(self, call: Call, body: bytes) -> list[Frame]:
        return parse_result_chunks(body, call)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return parse_error(status, headers, body)

    def stream_parser(self, call: Call) -> OpenAIStreamParser:
        return OpenAIStreamParser(call)
