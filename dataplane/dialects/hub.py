"""What translating dialects read out of the hub's format, and write in it, alike. Pure."""

import re
import sys
from array import array
from base64 import b64encode
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.errors import InvalidRequest, UpstreamError, UpstreamErrorKind
from tollway.kernel.usage import Usage

_MOST_TOKENS: Final = 10**9
_PURPOSE: Final = "search_document"
_PURPOSES: Final = {
    "document": _PURPOSE,
    "passage": _PURPOSE,
    "retrieval_document": _PURPOSE,
    **dict.fromkeys(("search_query", "query", "retrieval_query", "code_retrieval_query"), "search_query"),
    **dict.fromkeys(("question_answering", "fact_verification"), "search_query"),
    "classification": "classification",
    "clustering": "clustering",
}
"""Words of Cohere's, Voyage's and Google's for what embeddings are for, as Cohere's."""
CONTEXT_LENGTH_EXCEEDED: Final = "context_length_exceeded"
"""OpenAI's code of an error that says that a call is longer than the model's context."""
_CONTEXT: Final = r"context[ _-](?:length|limit|size|window)"
_CONTEXT_TOO_LONG: Final = re.compile(
    r"\b(?:prompt|(?<![a-z] )input|(?<=\bthe )input|(?<=\byour )input) (?:is )?too long"
    r"(?!.{0,60}(?:character|minute|pixel|second|\bfield\b))"
    r"|too many input tokens|input tokens exceed|number of input tokens \d{0,12} ?(?:exceeds|cannot exceed)"
    r"|too many tokens: (?:size limit|total number of tokens)"
    r"|(?:input|prompt) token count.{0,80}(?:exceeds|only supports)"
    r"|(?:prompt|input|request)\b.{0,80}exceeds the maximum number of tokens\b(?! per\b)"
    r"|prompt exceeds max(?:imum)? length(?!.{0,40}character)|range of input length should be"
    r"|maximum prompt length is|longer than the maximum model length|exceed\w{0,3} model token limit"
    r"|`inputs`.{0,40} must (?:be <=|have less than)"
    r"|max(?:imum)? input (?:tokens\b|(?:length|size)\b.{0,40}\btokens)"
    r"|max(?:imum)? context (?:tokens|length|size|window)(?!.{0,20}(?:setting|parameter))"
    rf"|(?:exceed\w{{0,3}}|too (?:large|long) for|(?:larger|longer|greater) than (?!0\b)|beyond|>).{{0,60}}{_CONTEXT}"
    rf"|not fit in.{{0,60}}{_CONTEXT}"
    rf"|{_CONTEXT}.{{0,40}}(?:exceeds|exceeded|too small|not enough)",
    re.IGNORECASE | re.DOTALL,
)
_BODY_TOO_LONG: Final = re.compile(r"request body too large for .{0,80}model.{0,40} \d{1,12} tokens", re.IGNORECASE)
_JUDGED_BY_WORDS: Final = frozenset((0, 400, 422))
_TOO_LARGE_STATUS: Final = 413
_CODES_THAT_SAY_NOTHING: Final = frozenset(
    (
        *("", "badrequest", "badrequesterror", "badrequestexception", "clientspecifiedaninvalidargument", "error"),
        *("invalid", "invalidargument", "invalidinput", "invalidparameter", "invalidparametererror", "invalidrequest"),
        *("invalidrequesterror", "internalerroralgoinvalidparameter", "requestvalidationerror"),
        *("unprocessableentity", "unprocessableentityerror", "validation", "validationerror", "validationexception"),
    )
)
"""Codes, by their letters in lower case, that leave open what is wrong with a call; digits alone do too."""
_WORDS_OF_CODES: Final = ("context", "token")
"""What codes speak of that words about the context may explain."""


def is_context_error(error: UpstreamError) -> bool:
    """Whether `error` refuses a call as longer than the model's context, by its words.

    They count where neither its status nor the provider's code says that it is about something else.
    """
    code = "".join(filter(str.isalpha, error.code or "")).lower()
    is_open = code in _CODES_THAT_SAY_NOTHING or any(word in code for word in _WORDS_OF_CODES)
    if not error.is_quote or not is_open:
        return False
    if error.status in _JUDGED_BY_WORDS:
        return is_context_too_long(error.message)
    return error.status == _TOO_LARGE_STATUS and _BODY_TOO_LONG.search(error.message) is not None


def is_context_too_long(message: str) -> bool:
    """Whether `message`, a refusal in the words of any provider or server, is about a call longer than the context.

    One about an output limit that is too large is not, unless it speaks of the context.
    """
    return _CONTEXT_TOO_LONG.search(message) is not None or _BODY_TOO_LONG.search(message) is not None


def malformed(where: str, needed: str) -> InvalidRequest:
    """The error that the field `where` is not `needed`."""
    return InvalidRequest(f'The field "{where}" must be {needed}.', code="invalid_value", param=where)


def object_of(value: Any) -> JsonObject:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """`value` if it is text, else ""."""
    return value if isinstance(value, str) else ""


def number_of(value: Any) -> float | None:
    """`value` if it is a number, else None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def token_count(parent: JsonObject, name: str) -> int | None:
    """The count under `name`, also when it is written as 12.0; None when it is no credible one."""
    value = parent.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def count_of(parent: JsonObject, name: str) -> int:
    """The count under `name` as token_count reads it; 0 when it is no credible one."""
    value = parent.get(name)
    if type(value) is int and 0 <= value <= _MOST_TOKENS:
        return value
    return 0 if value is None else token_count(parent, name) or 0


def usage_object(usage: Usage) -> JsonObject:
    """`usage` as OpenAI's usage object: cached and cache-written tokens inside the prompt's, reasoning in the rest."""
    prompt, completion = usage.input_tokens, usage.output_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def allowed_tool_names(choice: Any) -> set[str] | None:
    """Names that an allowed_tools choice lists; None where every tool may be used."""
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return None
    listed = object_of(choice.get("allowed_tools")).get("tools") or choice.get("tools")
    tools = [object_of(tool) for tool in listed] if isinstance(listed, list) else []
    names = [object_of(tool.get("function")).get("name") or tool.get("name") for tool in tools]
    return {name for name in names if isinstance(name, str)}


def allowed_mode(choice: Any) -> Any:
    """Whether one of the tools that an allowed_tools choice lists is "required", or the choice is "auto"."""
    options = object_of(choice)
    return object_of(options.get("allowed_tools")).get("mode") or options.get("mode")


def unused_tool_name(body: JsonObject, name: str) -> str:
    """`name`, with as much after it as makes it another than those of the call's own tools."""
    listed = body.get("tools") or body.get("functions")
    tools = [tool for tool in listed if isinstance(tool, dict)] if isinstance(listed, list) else []
    functions = [tool.get("function", tool) for tool in tools]
    taken = [function.get("name") for function in functions if isinstance(function, dict)]
    while name in taken:
        name += "_"
    return name


def wanted_reasoning(body: JsonObject) -> tuple[str | None, int | None]:
    """The effort, in a word, and the tokens that a call asks to reason for."""
    reasoning = body.get("reasoning")
    options = reasoning if isinstance(reasoning, dict) else {}
    effort = body.get("reasoning_effort") or options.get("effort")
    if effort is None and options.get("enabled") is not None:
        effort = "medium" if options["enabled"] else "none"
    budget = options.get("max_tokens")
    return (
        effort if isinstance(effort, str) else None,
        budget if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0 else None,
    )


def output_limit(call: Call) -> int | None:
    """Tokens of the answer: what admission counts on, else what the client set; None where neither says.

    Raises InvalidRequest for a limit that is none.
    """
    if call.output_limit is not None:
        return call.output_limit
    for name in ("max_completion_tokens", "max_tokens"):
        limit = call.body.get(name)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise malformed(name, "a number of tokens: an integer above 0")
        return limit
    return None


def stop_texts(body: JsonObject) -> list[str]:
    """The texts at which an answer ends, told by `stop` or `stop_sequences`, but for empty ones."""
    stop = body.get("stop") or body.get("stop_sequences")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    return [text for text in stops if isinstance(text, str) and text]


def embedding_purpose(body: JsonObject) -> str:
    """What the embeddings that `body` asks for are for, in Cohere's words: documents, where it says nothing known.

    It is told by `input_type`, or by Google's `task_type`.
    """
    told = body.get("input_type") or body.get("task_type") or body.get("taskType")
    return _PURPOSES.get(text_of(told).lower(), _PURPOSE)


def vector_base64(vector: list[Any]) -> str:
    """`vector` as its numbers' bytes: 32-bit floats, little-endian. Raises UpstreamError where it has other things."""
    try:
        floats = array("f", vector)
    except (TypeError, OverflowError) as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's embedding is not made of numbers.") from error
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()
