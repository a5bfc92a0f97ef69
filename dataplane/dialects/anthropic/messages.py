"""The conversation of an OpenAI chat body as Anthropic's system blocks and messages of alternating roles."""

import re
from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.content import content_blocks, unsupported
from dataplane.dialects.anthropic.reasoning import thinking_blocks
from dataplane.dialects.claude import OPENING, add_to_turns
from dataplane.dialects.hub import malformed
from dataplane.dialects.openai.functions import tool_arguments

_OPENING: Final[JsonObject] = {"role": "user", "content": [{"type": "text", "text": OPENING}]}
_NOT_IN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_SYSTEM: Final = ("system", "developer")


class Conversation:
    """Turns as they are read: `system` are the blocks of all system and developer messages, in order.

    A model that `thinks` is sent back what it thought.
    """

    def __init__(self, thinks: bool) -> None:
        self.system: list[JsonObject] = []
        self.turns: list[JsonObject] = []
        self._thinks = thinks

    def add(self, message: Any, where: str) -> None:
        """Reads one message; `where` names it in errors. Raises InvalidRequest for content that cannot be said."""
        if not isinstance(message, dict):
            raise malformed(where, "an object with role and content")
        role, content = message.get("role"), message.get("content")
        if role in _SYSTEM:
            self.system += _marked(_system(content, f"{where}.content"), message)
        elif role == "user":
            add_to_turns(self.turns, "user", _marked(content_blocks(content, f"{where}.content"), message))
        elif role == "assistant":
            add_to_turns(self.turns, "assistant", _marked(self._assistant(message, where), message))
        elif role == "tool":
            add_to_turns(self.turns, "user", [self._result(message, where)])
        else:
            raise malformed(f"{where}.role", "system, developer, user, assistant or tool")

    def finish(self) -> tuple[list[JsonObject], list[JsonObject]]:
        """System blocks and messages. Where only the system spoke, it is made the user's turn: there must be one."""
        for turn in self.turns:
            if turn["role"] == "user":
                turn["content"].sort(key=lambda block: block.get("type") != "tool_result")
        if not self.turns and self.system:
            return [], [{"role": "user", "content": self.system}]
        if self.turns and self.turns[0]["role"] == "assistant":
            self.turns.insert(0, _OPENING)
        _strip_prefill(self.turns)
        return self.system, self.turns

    def _assistant(self, message: JsonObject, where: str) -> list[JsonObject]:
        content = message.get("content") or message.get("refusal")
        blocks = thinking_blocks(message) if self._thinks else []
        blocks += content_blocks(content, f"{where}.content")
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise malformed(f"{where}.tool_calls", "a list")
        blocks += [_tool_use(call, f"{where}.tool_calls[{at}]") for at, call in enumerate(calls or ())]
        return blocks

    def _result(self, message: JsonObject, where: str) -> JsonObject:
        identity = message.get("tool_call_id")
        content = content_blocks(message.get("content"), f"{where}.content")
        marker = message.get("cache_control")
        for block in content:
            marker = block.pop("cache_control", None) or marker if block.get("type") == "text" else marker
        result: JsonObject = {"type": "tool_result", "tool_use_id": _identity(identity, f"{where}.tool_call_id")}
        if content:
            result["content"] = content
        if marker is not None:
            result["cache_control"] = marker
        return result


def _system(content: Any, where: str) -> list[JsonObject]:
    blocks = content_blocks(content, where)
    if any(block.get("type") != "text" for block in blocks):
        raise unsupported(where, "more than text in a system message", "Send it in a user message.")
    return blocks


def _tool_use(call: Any, where: str) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        if isinstance(call, dict) and call.get("type") == "custom":
            raise unsupported(where, "a call of a custom tool", "Use function tools.")
        raise malformed(where, "an object with a function")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise malformed(f"{where}.function.name", "the name of a function")
    block: JsonObject = {
        "type": "tool_use",
        "id": _identity(call.get("id"), f"{where}.id"),
        "name": name,
        "input": tool_arguments(function.get("arguments"), f"{where}.function.arguments"),
    }
    if call.get("cache_control") is not None:
        block["cache_control"] = call["cache_control"]
    return block


def _identity(identity: Any, where: str) -> str:
    """`identity` in the characters that are taken: other providers' ids may have more."""
    if not isinstance(identity, str) or not identity:
        raise malformed(where, "the id of a tool call")
    return _NOT_IN_ID.sub("_", identity)


def _marked(blocks: list[JsonObject], message: JsonObject) -> list[JsonObject]:
    """`blocks`, the last of which bears the cache marker of the whole message, if that has one."""
    if message.get("cache_control") is not None and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": message["cache_control"]}
    return blocks


def _strip_prefill(turns: list[JsonObject]) -> None:
    """Takes white space off the end of an answer that the model is to go on with: it is refused there."""
    if turns and turns[-1]["role"] == "assistant":
        last = turns[-1]["content"][-1]
        if last.get("type") == "text":
            turns[-1]["content"][-1] = {**last, "text": last["text"].rstrip()}
