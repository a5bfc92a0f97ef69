"""A call as OpenAI's API takes it: the client's body, with the model and the stream's usage option set."""

from typing import Any

import orjson

from dataplane.call import Call, UpstreamRequest
from dataplane.dialects.base import ProviderSpec
from dataplane.snapshot import Target

_OUTPUT_LIMIT = "max_tokens"


def render_request(call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
    """Every value of the client's body but `model`, and `stream_options.include_usage`, which is forced on.

    Where admission counts on a limit of the answer and the client set none, it is added.
    """
    body: dict[str, Any] = {**call.body, "model": target.model}
    if call.stream:
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
    if call.output_limit is not None:
        body[provider.output_limit.get(call.endpoint.name, _OUTPUT_LIMIT)] = call.output_limit
    upstream = target.upstream
    headers = {
        **call.forwarded_headers,
        **upstream.headers,
        "content-type": "application/json",
        "accept": "text/event-stream" if call.stream else "application/json",
        "accept-encoding": "identity",
    }
    if upstream.secret:
        header, before = provider.auth
        headers[header] = before + upstream.secret.reveal()
    base_url = upstream.base_url or provider.base_url
    return UpstreamRequest(base_url + provider.paths[call.endpoint.name], headers, orjson.dumps(body))
