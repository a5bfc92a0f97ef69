"""What answers, whole and streamed, have in common: words, ids and annotations as OpenAI's answers have them."""

from typing import Any, Final

from dataplane.call import Call, JsonObject

_FINISH_OF_STOP: Final = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_OPENAI_TIERS: Final = {"standard": "default"}
TEXT_OF: Final = {"text": "text", "connector_text": "connector_text"}
"""Where blocks have their text, by kind: a connector's is what a model says between calls of tools."""


def envelope(call: Call, message: JsonObject, kind: str) -> JsonObject:
    """The members that each answer to `call`, or each chunk of it, begins with."""
    identity, model = message.get("id"), message.get("model")
    return {
        "id": f"chatcmpl-{identity if isinstance(identity, str) and identity else call.request_id}",
        "object": kind,
        "created": call.start_time_us // 1_000_000,
        "model": model if isinstance(model, str) and model else call.model,
    }


def model_of(message: JsonObject) -> str:
    """The model that a message says it is of; "" where it says none."""
    model = message.get("model")
    return model if isinstance(model, str) else ""


def finish_reason(stop_reason: Any, has_calls: bool) -> str:
    """OpenAI's word for why an answer ended; the client's own tools are called where it ended of itself."""
    cut = _FINISH_OF_STOP.get(stop_reason) if isinstance(stop_reason, str) else None
    return cut or ("tool_calls" if has_calls else "stop")


def refusal_of(said: JsonObject) -> str | None:
    """The words that go with a refusal, of a message or of the delta that ends one."""
    details = said.get("stop_details")
    if said.get("stop_reason") != "refusal" or not isinstance(details, dict):
        return None
    explanation = details.get("explanation")
    return explanation if isinstance(explanation, str) and explanation else None


def annotations(citations: Any, start: int, end: int) -> list[JsonObject]:
    """Annotations of the text between `start` and `end`, in characters, for those of its citations that have a URL."""
    listed = [item for item in citations if isinstance(item, dict)] if isinstance(citations, list) else []
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": start,
                "end_index": end,
                "url": citation["url"],
                "title": citation["title"] if isinstance(citation.get("title"), str) else "",
            },
        }
        for citation in listed
        if isinstance(citation.get("url"), str)
    ]


def openai_tier(reported: Any) -> str | None:
    """OpenAI's word for the class of service of a usage object; None where it says none."""
    tier = reported.get("service_tier") if isinstance(reported, dict) else None
    return _OPENAI_TIERS.get(tier, tier) if isinstance(tier, str) else None
