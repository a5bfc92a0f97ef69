"""The Messages API by the types of Anthropic's SDK, which says of each request whether it is a beta one."""

from typing import Final, NotRequired

from anthropic.types import message_count_tokens_params as count
from anthropic.types import message_create_params as create
from anthropic.types.beta import message_count_tokens_params as beta_count
from anthropic.types.beta import message_create_params as beta_create

from tests.golden.evidence.types import JsonObject
from tests.golden.sdk_types import Sent
from tests.golden.sdk_types.strict import Strict, partial

_WHOLE: Final = (Strict(create.MessageCreateParamsNonStreaming), Strict(beta_create.MessageCreateParamsNonStreaming))
_STREAMS: Final = (Strict(create.MessageCreateParamsStreaming), Strict(beta_create.MessageCreateParamsStreaming))
_COUNTS: Final = (Strict(count.MessageCountTokensParams), Strict(beta_count.MessageCountTokensParams))
_MEMBERS: Final = Strict(partial(beta_create.MessageCreateParamsBase, anthropic_beta=NotRequired[list[str]]))
_VERTEX_VERSION: Final = "vertex-2023-10-16"


def problems(sent: Sent) -> list[str]:
    """What is wrong with a request to Anthropic's own API: by the types of betas too where it is of no other."""
    plain, beta = _COUNTS if sent.endpoint == "count_tokens" else _STREAMS if sent.is_stream else _WHOLE
    found = plain.problems(sent.body)
    return [] if found and not beta.problems(sent.body) else found


def vertex_problems(sent: Sent) -> list[str]:
    """The same of a request to Vertex AI, where the model is in the path, and the version in the body."""
    body = {**sent.body}
    version = body.pop("anthropic_version", None)
    found = [] if version == _VERTEX_VERSION else [f"anthropic_version: {version!r} is none of Vertex AI's"]
    if sent.endpoint != "count_tokens":
        found += ["model: stands in the path there"] if "model" in body else []
        body["model"] = sent.model
    return found + problems(Sent(sent.endpoint, sent.model, sent.is_stream, body))


def member_problems(members: JsonObject) -> list[str]:
    """What is wrong with `members`, some of those that a request has: what Bedrock hands on to Claude models."""
    return _MEMBERS.problems(members)
