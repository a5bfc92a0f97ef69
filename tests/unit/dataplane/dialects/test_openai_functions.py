"""Clients that know functions, and no tools, are understood by places that know tools alone."""

import copy
from typing import Any

import pytest

from dataplane.dialects.openai.functions import with_tools
from dataplane.errors import InvalidRequest
from tests.unit.dataplane.dialects.test_openai_quirks import sent

USER = {"role": "user", "content": "hi"}
F, G = {"name": "f", "parameters": {"type": "object"}}, {"name": "g"}
FUNCTIONS = [F, G]
TOOLS = [{"type": "function", "function": F}, {"type": "function", "function": G}]


def calls(name: str, arguments: Any = "{}", **message: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": arguments}, **message}


def called(identity: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def translated(**body: Any) -> dict[str, Any]:
    before = copy.deepcopy(body)
    adapted = with_tools(body)
    assert body == before
    return adapted


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [USER], "tools": TOOLS, "tool_choice": "auto"},
        {"messages": [USER, 5, None, {"role": ["function"]}]},
        {"messages": None},
        {"input": "a"},
    ],
)
def test_bodies_without_functions_stay_the_same_object(body: dict[str, Any]) -> None:
    assert with_tools(body) is body


@pytest.mark.parametrize(
    ("choice", "tool_choice"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ({"name": "g"}, {"type": "function", "function": {"name": "g"}}),
    ],
)
def test_functions_are_tools_and_so_is_the_choice_among_them(choice: Any, tool_choice: Any) -> None:
    adapted = translated(messages=[USER], functions=FUNCTIONS, function_call=choice)
    said = {"messages": [USER], "tools": TOOLS, "parallel_tool_calls": False}
    assert adapted == said | ({"tool_choice": tool_choice} if tool_choice else {})


def test_tools_count_where_there_are_functions_as_well() -> None:
    adapted = translated(messages=[], tools=TOOLS[:1], tool_choice="auto", functions=[G], function_call="none")
    assert adapted == {"messages": [], "tools": TOOLS[:1], "tool_choice": "auto"}
    assert translated(functions=[], function_call="auto") == {"tools": []}


def test_calls_of_functions_are_paired_with_their_results() -> None:
    said = [
        USER,
        calls("f", '{"x":1}'),
        {"role": "function", "name": "f", "content": "1"},
        calls("g", None, content="Now g."),
        {"role": "function", "name": "g", "content": "2"},
        {"role": "assistant", "content": "Done.", "function_call": None},
    ]
    assert translated(messages=said)["messages"] == [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [called("call_legacy_1", "f", '{"x":1}')]},
        {"role": "tool", "tool_call_id": "call_legacy_1", "name": "f", "content": "1"},
        {"role": "assistant", "content": "Now g.", "tool_calls": [called("call_legacy_2", "g")]},
        {"role": "tool", "tool_call_id": "call_legacy_2", "name": "g", "content": "2"},
        {"role": "assistant", "content": "Done."},
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"functions": 3}, "functions"),
        ({"functions": ["f"]}, "functions[0]"),
        ({"functions": [F, {"description": "d"}]}, "functions[1].name"),
        ({"functions": [{"name": "f", "parameters": 5}]}, "functions[0].parameters"),
        ({"functions": [F], "function_call": "required"}, "function_call"),
        ({"functions": [F], "function_call": {}}, "function_call"),
        ({"messages": [USER, {"role": "assistant", "function_call": "f"}]}, "messages[1].function_call"),
        ({"messages": [calls("f", "{x")]}, "messages[0].function_call.arguments"),
        ({"messages": [USER, {"role": "function", "name": "f", "content": "1"}]}, "messages[1]"),
    ],
)
def test_what_is_no_function_is_refused_where_the_client_said_it(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_tools(body)
    assert (caught.value.error_code, caught.value.param) == ("invalid_value", param)


@pytest.mark.parametrize("provider", ["mistral", "deepseek", "cerebras"])
def test_places_that_know_tools_alone_are_sent_tools(provider: str) -> None:
    said = sent(provider, functions=[F], function_call="auto")
    assert (said["tools"], said["tool_choice"], said["parallel_tool_calls"]) == (TOOLS[:1], "auto", False)
    assert {"functions", "function_call"}.isdisjoint(said)


@pytest.mark.parametrize("provider", ["openai", "azure-openai", "vllm", "openai_compatible"])
def test_places_that_know_functions_are_sent_functions(provider: str) -> None:
    said: dict[str, Any] = {"functions": FUNCTIONS, "function_call": {"name": "g"}}
    assert said.items() <= sent(provider, **said).items()
