"""What clients of Anthropic's format may ask for: each feature by a name, as a body without a model."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tests.golden.evidence.types import JsonObject
from tests.golden.sdk_types.features import BLOCKS, CITY, HOUR, MARK, PDF, PNG, SCHEMA


def _text(text: str = "What is it?", **members: Any) -> JsonObject:
    return {"type": "text", "text": text, **members}


def _turn(*blocks: JsonObject, **settings: Any) -> JsonObject:
    return {"messages": [{"role": "user", "content": [*blocks, _text()]}], "max_tokens": 9000, **settings}


def _document(source: JsonObject, **members: Any) -> JsonObject:
    return {"type": "document", "source": source, **members}


_USE: Final = [
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": CITY},
    {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}},
]
_IMAGE: Final = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
_OWN_TOOLS: Final = [
    {"name": "weather", "description": "Tells the weather", "input_schema": SCHEMA},
    {"name": "time", "input_schema": {"type": "object"}, **MARK},
]


def _results(*before: JsonObject, **settings: Any) -> JsonObject:
    """Two tools used at once, after `before`, one of which failed."""
    results = [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [_text("12"), _IMAGE]},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no clock", "is_error": True},
    ]
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [*before, *_USE]},
        {"role": "user", "content": [*results, _text("And?")]},
    ]
    return {"messages": turns, "max_tokens": 9000, "tools": _OWN_TOOLS, **settings}


_CITATION: Final = {
    "type": "char_location",
    "cited_text": "a",
    "document_index": 0,
    "document_title": "t",
    "start_char_index": 0,
    "end_char_index": 1,
}
_CITABLE: Final = {"title": "t", "context": "c", "citations": {"enabled": True}, **MARK}
_PLAIN_TEXT: Final = {"type": "text", "media_type": "text/plain", "data": "a"}

ANTHROPIC: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "plain": _turn(),
        "system": _turn(system="Be brief."),
        "system blocks": _turn(system=[_text("Be brief."), _text("Speak Norwegian.", **HOUR)]),
        "sampling": _turn(temperature=0.5, top_k=20, stop_sequences=["END"], metadata={"user_id": "u-1"}),
        "top_p": _turn(top_p=0.9),
        "image": _turn({**_IMAGE, **MARK}),
        "image by URL": _turn({"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}),
        "PDF": _turn(_document({"type": "base64", "media_type": "application/pdf", "data": PDF}, title="a b.pdf")),
        "PDF by URL": _turn(_document({"type": "url", "url": "https://a.example/b.pdf"})),
        "text document": _turn(_document(_PLAIN_TEXT, **_CITABLE)),
        "parts of a document": _turn(_document({"type": "content", "content": [_text("a")]}, **_CITABLE)),
        "search result": _turn(
            {
                "type": "search_result",
                "source": "s",
                "title": "t",
                "content": [_text("a")],
                "citations": {"enabled": True},
            }
        ),
        "citations in history": {
            "messages": [
                {"role": "user", "content": [_document(_PLAIN_TEXT, **_CITABLE), _text()]},
                {"role": "assistant", "content": [_text("It is a.", citations=[_CITATION])]},
                {"role": "user", "content": "Why?"},
            ],
            "max_tokens": 900,
        },
        "tools": _turn(tools=_OWN_TOOLS),
        "strict tool": _turn(tools=[{**_OWN_TOOLS[0], "strict": True}]),
        "results": _results(_text("I look.")),
        **{f"choice {word}": _turn(tools=_OWN_TOOLS, tool_choice={"type": word}) for word in ("auto", "any", "none")},
        "choice of a tool": _turn(
            tools=_OWN_TOOLS, tool_choice={"type": "tool", "name": "time", "disable_parallel_tool_use": True}
        ),
        "budget": _turn(thinking={"type": "enabled", "budget_tokens": 2048}),
        "adaptive": _turn(thinking={"type": "adaptive"}, output_config={"effort": "high"}),
        "no thinking": _turn(thinking={"type": "disabled"}),
        "thinking in history": _results(*BLOCKS, thinking={"type": "enabled", "budget_tokens": 2048}),
        "JSON by schema": _turn(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        "cache marker": _turn(**MARK),
        **{f"tier {word}": _turn(service_tier=word) for word in ("auto", "standard_only")},
    }
)
