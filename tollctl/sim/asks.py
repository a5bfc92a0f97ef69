"""Asks: bodies of calls, validated as OpenAI does. Unknown fields are accepted and kept, to be shown in the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tollctl.sim.errors import SimError, reject_field
from tollctl.sim.fields import FieldReader
from tollctl.sim.messages import read_messages
from tollctl.sim.models import Behaviour, Model, parse_model
from tollctl.sim.tools import choose_tool, read_schema
from tollctl.sim.words import count_words

_SHARED_FIELDS = frozenset(
    {"model", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n", "presence_penalty", "seed", "stop"}
    | {"stream", "stream_options", "temperature", "top_p", "user"}
)
_CHAT_FIELDS = _SHARED_FIELDS | (
    {"messages", "audio", "function_call", "functions", "max_completion_tokens", "metadata", "modalities"}
    | {"parallel_tool_calls", "prediction", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort"}
    | {"response_format", "safety_identifier", "service_tier", "store", "tool_choice", "tools", "top_logprobs"}
    | {"verbosity", "web_search_options"}
)
_TEXT_FIELDS = _SHARED_FIELDS | {"prompt", "best_of", "echo", "suffix"}
_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The API expects a JSON payload, but what was sent was not valid JSON.)"
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A call for text.

    texts: what the model is to speak about, one for each prompt; a chat has one, its last message's.
    output_max: the output limit in words; None is none.
    tool: the function to call, as the body has it; None where the answer is to be text.
    schema: the JSON schema that the answer is to fit; None where the body names none.
    """

    model: Model
    user: str
    texts: tuple[str, ...]
    input_tokens: int
    stream: bool
    include_usage: bool
    choices: int
    output_max: int | None
    stops: tuple[str, ...] = ()
    tool: Mapping[str, Any] | None = None
    schema: Any = None
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingAsk:
    """A call for vectors, one per text; a text given as tokens is the tokens' numbers."""

    model: Model
    user: str
    texts: tuple[str, ...]
    input_tokens: int
    dimensions: int
    is_base64: bool


def read_body(raw: bytes) -> dict[str, Any]:
    """Raises SimError 400 unless raw is a JSON object."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise SimError(400, _NOT_JSON) from None
    if not isinstance(body, dict):
        raise SimError(400, "The body of the request must be a JSON object.")
    return body


def read_user(body: Mapping[str, Any]) -> str:
    """The end user that a body names, "" for none: statistics want it even where the body is refused."""
    user = body.get("user")
    return user if isinstance(user, str) else ""


def read_chat(body: dict[str, Any]) -> Ask:
    """Validate the body of POST /v1/chat/completions. Raises SimError 400 or 404."""
    reader = FieldReader(body)
    model = _read_model(reader, speaks=True)
    conversation = read_messages(body)
    tool = choose_tool(reader)
    limits = (reader.integer("max_completion_tokens", 1), reader.integer("max_tokens", 1))
    return Ask(
        model=model,
        texts=(conversation.text,),
        input_tokens=conversation.words,
        output_max=next((limit for limit in limits if limit is not None), None),
        tool=None if conversation.ends_with_tool else tool,
        schema=read_schema(reader),
        **_read_shared(reader, model, _CHAT_FIELDS),
    )


def read_text(body: dict[str, Any]) -> Ask:
    """Validate the body of POST /v1/completions. Raises SimError 400 or 404."""
    reader = FieldReader(body)
    model = _read_model(reader, speaks=True)
    texts = _read_texts(reader, "prompt")
    return Ask(
        model=model,
        texts=texts,
        input_tokens=sum(count_words(text) for text in texts),
        output_max=reader.integer("max_tokens", 0),
        **_read_shared(reader, model, _TEXT_FIELDS),
    )


def read_embedding(body: dict[str, Any]) -> EmbeddingAsk:
    """Validate the body of POST /v1/embeddings. Raises SimError 400 or 404."""
    reader = FieldReader(body)
    model = _read_model(reader, speaks=False)
    texts = _read_texts(reader, "input")
    if not all(texts):
        raise reject_field("'$.input' is invalid. Please check the API reference.", "input")
    encoding = reader.choice("encoding_format", ("float", "base64")) or "float"
    return EmbeddingAsk(
        model=model,
        user=reader.text("user") or "",
        texts=texts,
        input_tokens=sum(count_words(text) for text in texts),
        dimensions=reader.integer("dimensions", 1, 3_072) or 256,
        is_base64=encoding == "base64",
    )


def _read_shared(reader: FieldReader, model: Model, known: frozenset[str]) -> dict[str, Any]:
    stream = reader.boolean("stream") or False
    reader.number("temperature", 0, 2)
    reader.number("top_p", 0, 1)
    reader.number("presence_penalty", -2, 2)
    reader.number("frequency_penalty", -2, 2)
    return {
        "user": reader.text("user") or "",
        "stream": stream,
        "include_usage": _read_include_usage(reader, stream) and model.reports_usage,
        "choices": reader.integer("n", 1, 128) or 1,
        "stops": _read_stops(reader),
        "unknown": {name: reader.body[name] for name in reader.body.keys() - known},
    }


def _read_model(reader: FieldReader, *, speaks: bool) -> Model:
    name = reader.text("model")
    if not name:
        raise SimError(400, "you must provide a model parameter")
    model = parse_model(name)
    if (model.behaviour is not Behaviour.EMBED) != speaks and model.behaviour is not Behaviour.STATUS:
        kind = "an embedding model" if speaks else "a chat model"
        raise SimError(
            404,
            f"The model `{name}` is {kind} and is not supported on this path.",
            param="model",
            code="model_not_found",
        )
    return model


def _read_include_usage(reader: FieldReader, stream: bool) -> bool:
    options = reader.mapping("stream_options")
    if options is None:
        return False
    if not stream:
        raise reject_field("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    return FieldReader(options, "stream_options").boolean("include_usage") or False


def _read_stops(reader: FieldReader) -> tuple[str, ...]:
    stops = reader.body.get("stop")
    if stops is None:
        return ()
    stops = [stops] if isinstance(stops, str) else stops
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise reader.wrong_type("stop", "one of a string or an array of strings")
    if len(stops) > 4:
        raise reject_field(
            "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length "
            f"{len(stops)} instead.",
            "stop",
            "array_above_max_length",
        )
    return tuple(stops)


def _read_texts(reader: FieldReader, name: str) -> tuple[str, ...]:
    """One text, several, one as token numbers, or several as token numbers; a token counts as a word."""
    value = reader.required(name)
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and 0 < len(value) <= 2_048:
        if all(isinstance(one, str) for one in value):
            return tuple(value)
        if _is_tokens(value):
            return (_spell_tokens(value),)
        if all(isinstance(one, list) and one and _is_tokens(one) for one in value):
            return tuple(_spell_tokens(one) for one in value)
    raise reject_field(f"'$.{name}' is invalid. Please check the API reference.", name)


def _is_tokens(value: list[Any]) -> bool:
    return all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value)


def _spell_tokens(tokens: list[int]) -> str:
    return " ".join(map(str, tokens))
