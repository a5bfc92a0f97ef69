"""Functions, and calls of them, of clients that know no tools, in the hub's words for tools. Pure."""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.hub import malformed
from dataplane.dialects.openai.payload import parse_payload

NO_FUNCTIONS: Final = "no_functions"
"""The trait of providers in the hub's format that know tools alone."""
_ID: Final = "call_legacy_"
_LEGACY: Final = frozenset(("functions", "function_call"))


def with_tools(body: JsonObject) -> JsonObject:
    """`body`, of a chat, with tools for its functions, and calls of tools and results of them for those of functions.

    It is the same object where there are none. Where there are tools as well, they count. One call at a time is asked
    for, where the provider can be: a client that knows functions can be told no more. Raises InvalidRequest for
    functions and calls that are none, and for the result of a function that no message before it called.
    """
    messages = body.get("messages")
    is_spoken = isinstance(messages, list) and any(map(_is_legacy, messages))
    if not is_spoken and _LEGACY.isdisjoint(body):
        return body
    adapted = {name: value for name, value in body.items() if name not in _LEGACY}
    if is_spoken and isinstance(messages, list):
        adapted["messages"] = _messages(messages)
    if body.get("functions") is not None and adapted.get("tools") is None:
        adapted["tools"] = _tools(body["functions"])
        if adapted["tools"]:
            adapted["parallel_tool_calls"] = False
    choice = body.get("function_call")
    if choice is not None and adapted.get("tool_choice") is None and adapted.get("tools"):
        adapted["tool_choice"] = _choice(choice)
    return adapted


def tool_arguments(arguments: Any, where: str) -> JsonObject:
    """Arguments of a tool call as an object. Raises InvalidRequest when they are none."""
    if isinstance(arguments, dict):
        return arguments
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return {}
    try:
        value = parse_payload(arguments.encode()) if isinstance(arguments, str) else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise malformed(where, "the text of a JSON object")
    return value


def _is_legacy(message: Any) -> bool:
    return isinstance(message, dict) and (
        message.get("role") == "function" or (message.get("role") == "assistant" and "function_call" in message)
    )


def _tools(functions: Any) -> list[JsonObject]:
    if not isinstance(functions, list):
        raise malformed("functions", "a list of functions")
    for at, function in enumerate(functions):
        where = f"functions[{at}]"
        if not isinstance(function, dict):
            raise malformed(where, "an object with a name")
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise malformed(f"{where}.name", "the name of a function")
        if not isinstance(function.get("parameters"), dict | None):
            raise malformed(f"{where}.parameters", "a JSON schema")
    return [{"type": "function", "function": function} for function in functions]


def _choice(choice: Any) -> Any:
    if choice in ("none", "auto"):
        return choice
    if not isinstance(choice, dict) or not isinstance(choice.get("name"), str):
        raise malformed("function_call", "none, auto or an object with the name of a function")
    return {"type": "function", "function": choice}


def _messages(messages: list[Any]) -> list[Any]:
    """`messages`, in which each call of a function has an id, and a result that of the last call before it."""
    adapted, calls = [], 0
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if not _is_legacy(message):
            adapted.append(message)
        elif message["role"] == "assistant":
            calls += message["function_call"] is not None
            adapted.append(_calling(message, f"{_ID}{calls}", where))
        elif calls:
            adapted.append({**message, "role": "tool", "tool_call_id": f"{_ID}{calls}"})
        else:
            raise malformed(where, "the result of a function_call in a message before it")
    return adapted


def _calling(message: JsonObject, identity: str, where: str) -> JsonObject:
    adapted = {name: value for name, value in message.items() if name != "function_call"}
    function, where = message["function_call"], f"{where}.function_call"
    if function is None:
        return adapted
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise malformed(where, "an object with the name of a function")
    arguments = function.get("arguments") or "{}"
    tool_arguments(arguments, f"{where}.arguments")
    call = {"id": identity, "type": "function", "function": {**function, "arguments": arguments}}
    calls = message.get("tool_calls")
    return {**adapted, "tool_calls": [*calls, call] if isinstance(calls, list) else [call]}
