"""Calls of Bedrock by the service model that AWS's SDKs are made of, and by those of the vendors of models.

The model's own validator knows members and types; values of enumerations, patterns and bounds above are looked at here.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, Final

from botocore.model import Shape
from botocore.session import get_session
from botocore.validate import ParamValidator

from tests.golden.evidence.types import JsonObject
from tests.golden.sdk_types import Sent, anthropic, cohere

_OPERATIONS: Final = {"count_tokens": "CountTokens", "chat_completions": "Converse"}
_RERANK: Final = "rerank"
_VERSION: Final = 2
_FIELDS: Final = "additionalModelRequestFields"
_SERVICE: Final = get_session().get_service_model("bedrock-runtime")


def problems(sent: Sent) -> list[str]:
    """What is wrong with a request to Bedrock."""
    if sent.endpoint in ("embeddings", _RERANK):
        return _invoked_problems(sent)
    name = "ConverseStream" if sent.is_stream else _OPERATIONS[sent.endpoint]
    shape = _SERVICE.operation_model(name).input_shape
    found = [f"{member}: stands in the path or in a header" for member in _elsewhere(shape, sent.body)]
    value = _with_bytes({**sent.body, "modelId": sent.model}, shape)
    report = ParamValidator().validate(value, shape)
    found += report.generate_report().splitlines() if report.has_errors() else []
    return [*found, *_value_problems(value, shape, ""), *_field_problems(sent)]


def _elsewhere(shape: Shape, body: JsonObject) -> Iterator[str]:
    """Members that are told in the path or in headers, but stand in `body`."""
    return (name for name in body if name in shape.members and "location" in shape.members[name].serialization)


def _invoked_problems(sent: Sent) -> list[str]:
    """Only Cohere has types of bodies that are handed on as they are: its SDK takes the model out of its own.

    It says which version a ranking is of, too.
    """
    if "cohere" not in sent.model:
        return []
    body = {**sent.body, "model": sent.model}
    version = body.pop("api_version", None) if sent.endpoint == _RERANK else _VERSION
    found = [] if version == _VERSION else [f"api_version: {version!r} is not {_VERSION}"]
    return found + cohere.problems(Sent(sent.endpoint, sent.model, False, body))


def _field_problems(sent: Sent) -> list[str]:
    """What is wrong with what Converse hands on to a Claude model."""
    called = sent.body["input"]["converse"] if sent.endpoint == "count_tokens" else sent.body
    fields = called.get(_FIELDS)
    if fields is None or "anthropic" not in sent.model:
        return []
    return [f"{_FIELDS}.{problem}" for problem in anthropic.member_problems(fields)]


def _with_bytes(value: Any, shape: Shape) -> Any:
    """`value` as a program has it: its blobs, which are base64 in JSON, as bytes."""
    match shape.type_name, value:
        case "structure", dict() if not shape.is_document_type:
            members = shape.members
            return {name: _with_bytes(v, members[name]) if name in members else v for name, v in value.items()}
        case "list", list():
            return [_with_bytes(item, shape.member) for item in value]
        case "map", dict():
            return {name: _with_bytes(item, shape.value) for name, item in value.items()}
        case "blob", str():
            return _decoded(value)
    return value


def _decoded(text: str) -> Any:
    """Bytes; a number, which is valid nowhere, for what is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return 0


def _value_problems(value: Any, shape: Shape, place: str) -> Iterator[str]:
    """Where a value is none of its enumeration, or larger or longer than its bound."""
    match shape.type_name, value:
        case "structure", dict() if not shape.is_document_type:
            for name in value.keys() & shape.members.keys():
                yield from _value_problems(value[name], shape.members[name], f"{place}.{name}")
        case "list", list():
            for at, item in enumerate(value):
                yield from _value_problems(item, shape.member, f"{place}.{at}")
        case "map", dict():
            for name, item in value.items():
                yield from _value_problems(item, shape.value, f"{place}.{name}")
        case "string", str():
            yield from _text_problems(value, shape, place)
    size = len(value) if isinstance(value, str | bytes | list | dict) else value
    most = shape.metadata.get("max")
    if most is not None and size > most:
        yield f"{place}: {size} is more than {most}"


def _text_problems(text: str, shape: Shape, place: str) -> Iterator[str]:
    pattern = shape.metadata.get("pattern")
    if shape.enum and text not in shape.enum:
        yield f"{place}: {text!r} is none of {', '.join(shape.enum)}"
    if pattern is not None and re.fullmatch(pattern, text) is None:
        yield f"{place}: {text!r} does not match {pattern}"
