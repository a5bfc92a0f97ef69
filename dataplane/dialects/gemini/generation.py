"""OpenAI's settings as Gemini's generationConfig; those that it does not have are dropped."""

from typing import Any

import orjson

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import object_at
from dataplane.dialects.gemini.models import GeminiModel
from dataplane.dialects.gemini.schema import render_schema
from dataplane.dialects.gemini.thinking import render_thinking

_JSON = "application/json"
_SEEDS = 1 << 31
_PASSED = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("image_config", "imageConfig"),
    ("speech_config", "speechConfig"),
    ("media_resolution", "mediaResolution"),
)
_PENALTIES = (("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty"))


def render_generation(body: JsonObject, model: GeminiModel, output_limit: int | None) -> JsonObject:
    """The generationConfig of an OpenAI body, {} where it sets nothing.

    `output_limit` is the limit that admission counts on, where the client set none. Penalties of zero are left out:
    some models refuse the very field.
    """
    config: JsonObject = {ours: body[name] for name, ours in _PASSED if body.get(name) is not None}
    config |= {ours: body[name] for name, ours in _PENALTIES if body.get(name)}
    config |= {name: body[name] for _, name in _PASSED[2:] if body.get(name) is not None}
    if (limit := _output_limit(body, output_limit)) is not None:
        config["maxOutputTokens"] = limit
    if isinstance(seed := body.get("seed"), int):
        config["seed"] = seed % _SEEDS
    if (count := body.get("n")) is not None and count != 1:
        config["candidateCount"] = count
    if stop := body.get("stop"):
        config["stopSequences"] = stop if isinstance(stop, list) else [stop]
    config |= _logprobs(body) | _modalities(body) | render_response_format(body)
    if thinking := render_thinking(body, model):
        config["thinkingConfig"] = thinking
    return config


def render_response_format(body: JsonObject) -> JsonObject:
    """The members of a generationConfig that ask for JSON; {} where the answer is to be text."""
    wanted = object_at(body, "response_format")
    if wanted.get("type") not in ("json_object", "json_schema"):
        return {}
    schema = response_schema(body)
    return {"responseMimeType": _JSON} | ({"responseJsonSchema": render_schema(schema)} if schema else {})


def response_schema(body: JsonObject) -> JsonObject:
    """The schema that the answer must follow, {} for none."""
    return object_at(object_at(object_at(body, "response_format"), "json_schema"), "schema")


def json_instruction(body: JsonObject) -> str:
    """What asks for JSON in words, for models that cannot be given a format together with functions."""
    schema = response_schema(body)
    text = "Unless you call a function, answer with one JSON value and nothing else, without a code fence around it."
    return f"{text} It must follow this JSON schema:\n{orjson.dumps(schema).decode()}" if schema else text


def _output_limit(body: JsonObject, output_limit: int | None) -> Any:
    if output_limit is not None:
        return output_limit
    limit = body.get("max_completion_tokens")
    return body.get("max_tokens") if limit is None else limit


def _logprobs(body: JsonObject) -> JsonObject:
    if body.get("logprobs") is not True:
        return {}
    top = body.get("top_logprobs")
    return {"responseLogprobs": True} | ({"logprobs": top} if top else {})


def _modalities(body: JsonObject) -> JsonObject:
    """What the answer may be made of, where it is not text alone."""
    wanted = body.get("modalities")
    named = [kind.upper() for kind in wanted if isinstance(kind, str)] if isinstance(wanted, list) else []
    return {"responseModalities": named} if named not in ([], ["TEXT"]) else {}
