"""Mistral is told in its own words what OpenAI has others for, and refused what it has none for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.openai.mistral import mistral_body
from dataplane.errors import InvalidRequest
from tests.unit.dataplane.dialects.test_openai_quirks import sent

USER = {"role": "user", "content": "hi"}
EMPTY = {"type": "object", "properties": {}}
CUSTOM = {"type": "custom", "custom": {"name": "sql"}}
TEXT = {"type": "text", "text": "t"}


def tool(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def among(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [tool(name) for name in names]}}


def document(url: str, **named: Any) -> dict[str, Any]:
    return {"type": "document_url", "document_url": url, **named}


def file(data: str, **named: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **named}}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (TEXT, TEXT),
        (
            file("data:application/pdf;base64,AA", filename="a.pdf"),
            document("data:application/pdf;base64,AA", document_name="a.pdf"),
        ),
        (file("https://a.example/b.pdf", filename=""), document("https://a.example/b.pdf")),
        (file("AAAA"), document("data:application/pdf;base64,AAAA")),
        ({"type": "file", "file_id": "f"}, {"type": "file", "file_id": "f"}),
        (
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"type": "input_audio", "input_audio": "UklG"},
        ),
        ({"type": "input_audio", "input_audio": "UklG"}, {"type": "input_audio", "input_audio": "UklG"}),
        ({"type": "refusal", "refusal": "No."}, {"type": "text", "text": "No."}),
        ({"type": "file", "file": 5}, {"type": "file", "file": 5}),
    ],
)
def test_parts_have_mistrals_form(part: Any, told: Any) -> None:
    (message,) = sent("mistral", messages=[{"role": "user", "content": [part, 5]}])["messages"]
    assert message == {"role": "user", "content": [told, 5]}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({**USER, "name": "ada"}, USER),
        ({"role": "tool", "content": "1", "name": "f"}, {"role": "tool", "content": "1", "name": "f"}),
        (
            {"role": "assistant", "content": "a", "annotations": [], "refusal": None, "audio": None, "reasoning": "r"},
            {"role": "assistant", "content": "a"},
        ),
        ({"role": "assistant", "content": None, "refusal": "No."}, {"role": "assistant", "content": "No."}),
        (
            {"role": "assistant", "tool_calls": [{"id": "abcDEF123", "extra_content": {}, "cache_control": {}}, 5]},
            {"role": "assistant", "tool_calls": [{"id": "abcDEF123"}, 5]},
        ),
    ],
)
def test_messages_have_no_members_that_mistral_does_not_know(message: Any, told: Any) -> None:
    assert sent("mistral", messages=[message, USER])["messages"] == [told, USER]


def test_functions_have_parameters() -> None:
    own = {"type": "web_search"}
    assert sent("mistral", tools=[tool("f"), tool("g", parameters={"type": "object"}), own, 5])["tools"] == [
        tool("f", parameters=EMPTY),
        tool("g", parameters={"type": "object"}),
        own,
        5,
    ]


@pytest.mark.parametrize(("mode", "word"), [("auto", "auto"), ("required", "any")])
def test_only_tools_that_may_be_used_are_told(mode: str, word: str) -> None:
    said = sent("mistral", tools=[tool("f"), tool("g"), 5], tool_choice=among(mode, "g"))
    assert (said["tools"], said["tool_choice"]) == ([tool("g", parameters=EMPTY)], word)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [tool("f"), CUSTOM]}, "tools[1]"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [CUSTOM]}]}, "messages[1].tool_calls[0]"),
        (
            {"messages": [{"role": "user", "content": [TEXT, {"type": "file", "file": {"file_id": "file-1"}}]}]},
            "messages[0].content[1].file",
        ),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1], [2]]}, "input"),
    ],
)
def test_what_mistral_has_nothing_for_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        mistral_body(body)
    assert (caught.value.error_code, caught.value.param) == ("unsupported_content", param)


@pytest.mark.parametrize("texts", ["a", ["a", "b"], [], None])
def test_texts_to_embed_pass(texts: Any) -> None:
    assert mistral_body({"input": texts}) == {"input": texts}


NAMES = st.sampled_from(
    [
        *("role", "content", "type", "tools", "tool_choice", "allowed_tools", "function", "name", "tool_calls", "file"),
        *("file_data", "file_id", "input_audio", "data", "refusal", "messages", "parameters", "function_call", "input"),
        *("functions", "arguments", "assistant", "user", "tool", "custom", "filename", "thinking", "reasoning"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | NAMES,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, JSON, max_size=4), st.lists(st.dictionaries(NAMES, JSON, max_size=4), max_size=3))
def test_any_body_is_sent_or_refused(body: dict[str, Any], messages: Any) -> None:
    try:
        assert sent("mistral", **{**body, "messages": messages})
    except InvalidRequest as error:
        assert error.param
