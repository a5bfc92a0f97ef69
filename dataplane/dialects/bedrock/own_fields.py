"""Members of Converse's own that a call may have, in either spelling: what callers may choose in them, and no more.

None of them may bound an answer otherwise than the call does, or make it cost what the call does not say.
"""

import re
from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.hub import malformed, object_of

_MODEL_FIELDS: Final = "additionalModelRequestFields"
_UNGOVERNED: Final = frozenset(
    (
        *("max_tokens", "maxTokens", "max_gen_len", "maxTokenCount", "max_new_tokens", "max_tokens_to_sample"),
        *("max_completion_tokens", "max_output_tokens", "maxOutputTokens", "max_length"),
        *("n", "best_of", "num_generations", "numResults", "num_results", "num_return_sequences"),
        *("speed", "service_tier", "serviceTier", "performanceConfig"),
        *("fallbacks", "tools", "mcp_servers", "context_management", "container"),
    )
)
"""Members of a model's own by which it would give a longer answer, several, or a dearer one, or name other models and
tools than the call does."""
_NESTED: Final = ("inferenceConfig", "textGenerationConfig")
_GUARDRAIL: Final = ("guardrailIdentifier", "guardrailVersion", "trace", "streamProcessingMode")
_NAMED: Final = ("guardrailIdentifier", "guardrailVersion")
_LATENCIES: Final = frozenset(("standard", "optimized"))
_CAPITAL: Final = re.compile(r"([A-Z])")


def own_fields(body: JsonObject) -> JsonObject:
    """Converse's own members of `body`. Raises InvalidRequest for a guardrail that is not named as one must be.

    Of other members, what is not as Converse has it is left out.
    """
    fields = {
        "guardrailConfig": _guardrail(_either(body, "guardrailConfig")),
        "performanceConfig": _performance(_either(body, "performanceConfig")),
        "requestMetadata": _texts(_either(body, "requestMetadata")),
        "promptVariables": _variables(_either(body, "promptVariables")),
        "additionalModelResponseFieldPaths": _paths(_either(body, "additionalModelResponseFieldPaths")),
    }
    return {name: value for name, value in fields.items() if value}


def own_model_fields(body: JsonObject) -> JsonObject:
    """What `body` says to the model itself. Raises InvalidRequest when it is no object."""
    given = _either(body, _MODEL_FIELDS)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise malformed(_MODEL_FIELDS, "an object")
    kept = _governed(given)
    return kept | {name: _governed(kept[name]) for name in _NESTED if isinstance(kept.get(name), dict)}


def _governed(fields: JsonObject) -> JsonObject:
    return {name: value for name, value in fields.items() if name not in _UNGOVERNED}


def _guardrail(given: Any) -> JsonObject | None:
    """The guardrail that the caller wants. One that cannot be read is refused: the call would go on without it."""
    if given is None:
        return None
    told = {name: _either(object_of(given), name) for name in _GUARDRAIL}
    chosen = {name: value for name, value in told.items() if value is not None}
    if not all(isinstance(value, str) and value for value in chosen.values()) or not chosen.keys() >= set(_NAMED):
        raise malformed("guardrailConfig", "an object of texts with guardrailIdentifier and guardrailVersion")
    return chosen


def _performance(given: Any) -> JsonObject | None:
    latency = object_of(given).get("latency")
    return {"latency": latency} if isinstance(latency, str) and latency in _LATENCIES else None


def _texts(given: Any) -> JsonObject:
    return {name: value for name, value in object_of(given).items() if isinstance(value, str)}


def _variables(given: Any) -> JsonObject:
    """Values of a stored prompt's variables, which are texts alone."""
    texts = {name: object_of(value).get("text") for name, value in object_of(given).items()}
    return {name: {"text": text} for name, text in texts.items() if isinstance(text, str)}


def _paths(given: Any) -> list[str]:
    return [path for path in given if isinstance(path, str)] if isinstance(given, list) else []


def _either(body: JsonObject, name: str) -> Any:
    """The value of the member `name`, which may be written in snake case too; None for none."""
    value = body.get(name)
    return body.get(_CAPITAL.sub(lambda found: f"_{found[1].lower()}", name)) if value is None else value
