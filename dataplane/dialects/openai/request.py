"""A call as OpenAI's API takes it: the client's body, but for what the provider of the target wants otherwise."""

from typing import Any

from dataplane.call import Call, UpstreamRequest
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.openai.media import FETCHES_MEDIA, check_media
from dataplane.dialects.openai.quirks import OWN_FORMAT, adapt_body
from dataplane.dialects.requests import upstream_request
from dataplane.snapshot import Target

_OUTPUT_LIMIT = "max_tokens"


def render_request(call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
    """Every value of the client's body but `model`, and `stream_options.include_usage`, which is forced on.

    Where admission counts on a limit of the answer and the client set none, it is added. What `provider` refuses or
    names otherwise is left out or renamed, but not for a client that speaks to OpenAI in OpenAI's own words. Raises
    InvalidRequest for content that `provider` has no words for, and for media at addresses that are not public, where
    it would fetch them.
    """
    if FETCHES_MEDIA in provider.traits:
        check_media(call.body)
    body: dict[str, Any] = {**call.body, "model": target.model}
    if call.stream:
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
    if call.output_limit is not None:
        body[provider.output_limit.get(call.endpoint.name, _OUTPUT_LIMIT)] = call.output_limit
    base_url = target.upstream.base_url or provider.base_url
    is_own = OWN_FORMAT in provider.traits and not call.is_translated
    return upstream_request(call, target, provider, adapt_body(body, provider, base_url, is_own=is_own))
