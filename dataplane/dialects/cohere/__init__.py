"""Cohere's v2 API: chat, embeddings and rerank, translated to and from the hub's format."""

from collections.abc import Mapping

from dataplane.call import Call, UpstreamRequest
from dataplane.dialects.base import NO_HEADERS, Frame, ProviderSpec
from dataplane.dialects.cohere.embeddings import parse_embeddings, render_embeddings
from dataplane.dialects.cohere.errors import parse_error
from dataplane.dialects.cohere.request import render_chat
from dataplane.dialects.cohere.rerank import parse_rerank, render_rerank
from dataplane.dialects.cohere.response import parse_chat, parse_chat_chunks
from dataplane.dialects.cohere.stream import CohereStreamParser
from dataplane.dialects.requests import upstream_request
from dataplane.errors import UpstreamError
from dataplane.snapshot import Target


class CohereDialect:
    def render_request(self, call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
        match call.endpoint.name:
            case "embeddings":
                body = render_embeddings(call, target)
            case "rerank":
                body = render_rerank(call, target)
            case "chat_completions":
                body = render_chat(call, target)
            case _:
                body = call.body
        return upstream_request(call, target, provider, body)

    def parse_result(self, call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
        match call.endpoint.name:
            case "embeddings":
                return parse_embeddings(call, body)
            case "rerank":
                return parse_rerank(body)
            case _:
                return parse_chat(call, body)

    def parse_result_chunks(self, call: Call, body: bytes) -> list[Frame]:
        return parse_chat_chunks(call, body)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return parse_error(status, headers, body)

    def stream_parser(self, call: Call) -> CohereStreamParser:
        return CohereStreamParser(call)
