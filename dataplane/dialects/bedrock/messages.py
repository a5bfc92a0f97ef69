"""The conversation of an OpenAI chat body as Converse's system blocks and messages of alternating roles."""

import re
from hashlib import sha256
from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.bedrock.content import Content, unsupported
from dataplane.dialects.bedrock.reasoning import reasoning_blocks
from dataplane.dialects.claude import OPENING, add_to_turns
from dataplane.dialects.hub import malformed
from dataplane.dialects.openai.functions import tool_arguments

_NO_OUTPUT: Final = "(no output)"
_SYSTEM: Final = ("system", "developer")
_SYSTEM_BLOCKS: Final = frozenset(("text", "cachePoint", "guardContent"))
_RESULT_BLOCKS: Final = frozenset(("text", "image", "document", "video", "searchResult"))
_NOT_IN_NAME: Final = re.compile(r"<\|.*|[^a-zA-Z0-9_-]", re.DOTALL)
"""Markup that gpt-oss models leave in names, which are refused as they came, and other characters."""
_NAME_LENGTH: Final = 64
_NOT_IN_ID: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_ID_LENGTH: Final = 64


class Conversation:
    """Turns as they are read: `system` are the blocks of all system and developer messages, in order.

    A model that `takes_reasoning` is sent back what it reasoned.
    """

    def __init__(self, content: Content, takes_reasoning: bool) -> None:
        self.system: list[JsonObject] = []
        self.turns: list[JsonObject] = []
        self._content = content
        self._takes_reasoning = takes_reasoning

    def add(self, message: Any, where: str) -> None:
        """Reads one message; `where` names it in errors. Raises InvalidRequest for content that cannot be said."""
        if not isinstance(message, dict):
            raise malformed(where, "an object with role and content")
        role, blocks = message.get("role"), self._content.blocks
        if role in _SYSTEM:
            self.system += self._marked(_system(blocks(message.get("content"), f"{where}.content"), where), message)
        elif role == "user":
            add_to_turns(self.turns, "user", self._marked(blocks(message.get("content"), f"{where}.content"), message))
        elif role == "assistant":
            add_to_turns(self.turns, "assistant", self._marked(self._assistant(message, where), message))
        elif role == "tool":
            add_to_turns(self.turns, "user", self._result(message, where))
        else:
            raise malformed(f"{where}.role", "system, developer, user, assistant or tool")

    def finish(self) -> tuple[list[JsonObject], list[JsonObject]]:
        """System blocks and messages. Where only the system spoke, it is made the user's turn: there must be one."""
        for turn in self.turns:
            if turn["role"] == "user":
                turn["content"].sort(key=lambda block: "toolResult" not in block)
        if not self.turns and self.system:
            return [], [{"role": "user", "content": self.system}]
        if not self.turns or self.turns[0]["role"] == "assistant":
            self.turns.insert(0, {"role": "user", "content": [{"text": OPENING}]})
        _strip_prefill(self.turns)
        return self.system, self.turns

    def _marked(self, blocks: list[JsonObject], message: JsonObject) -> list[JsonObject]:
        """`blocks`, with the cache point of the whole message at their end."""
        return [*blocks, *self._content.cache_point(message)] if blocks else []

    def _assistant(self, message: JsonObject, where: str) -> list[JsonObject]:
        content = message.get("content") or message.get("refusal")
        blocks = reasoning_blocks(message) if self._takes_reasoning else []
        blocks += self._content.blocks(content, f"{where}.content")
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise malformed(f"{where}.tool_calls", "a list")
        for at, call in enumerate(calls or ()):
            blocks += [_tool_use(call, f"{where}.tool_calls[{at}]"), *self._content.cache_point(call)]
        return blocks

    def _result(self, message: JsonObject, where: str) -> list[JsonObject]:
        """The result of a tool, and after it the cache point that the message or a part of it asks for."""
        identity = message.get("tool_call_id")
        blocks = self._content.blocks(message.get("content"), f"{where}.content")
        points = self._content.cache_point(message) or [block for block in blocks if "cachePoint" in block][-1:]
        content = [block for block in blocks if "cachePoint" not in block]
        if any(_RESULT_BLOCKS.isdisjoint(block) for block in content):
            raise unsupported(f"{where}.content", "more than text, images and documents", "Send those alone.")
        result = {
            "toolUseId": _identity(identity, f"{where}.tool_call_id"),
            "content": content or [{"text": _NO_OUTPUT}],
        }
        return [{"toolResult": result}, *points]


def tool_names(turns: list[JsonObject]) -> list[str]:
    """Names of the tools that `turns` use, in order of first use; a result alone is of a tool named "tool"."""
    blocks = [block for turn in turns for block in turn["content"]]
    names = [block["toolUse"]["name"] for block in blocks if "toolUse" in block]
    if not names and any("toolResult" in block for block in blocks):
        names = ["tool"]
    return list(dict.fromkeys(names))


def _system(blocks: list[JsonObject], where: str) -> list[JsonObject]:
    if any(_SYSTEM_BLOCKS.isdisjoint(block) for block in blocks):
        raise unsupported(f"{where}.content", "more than text in a system message", "Send it in a user message.")
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
    use = {
        "toolUseId": _identity(call.get("id"), f"{where}.id"),
        "name": _tool_name(name),
        "input": tool_arguments(function.get("arguments"), f"{where}.function.arguments"),
    }
    return {"toolUse": use}


def _tool_name(name: str) -> str:
    """`name` as it is taken: a model may have named a tool that there is none of."""
    kept = _NOT_IN_NAME.sub(lambda found: "_" if len(found[0]) == 1 else "", name)
    return kept[:_NAME_LENGTH] or "tool"


def _identity(identity: Any, where: str) -> str:
    """`identity` in the characters and the length that are taken: other providers' ids may have more."""
    if not isinstance(identity, str) or not identity:
        raise malformed(where, "the id of a tool call")
    if len(identity) > _ID_LENGTH:
        identity = sha256(identity.encode()).hexdigest()
    return _NOT_IN_ID.sub("_", identity)


def _strip_prefill(turns: list[JsonObject]) -> None:
    """Takes white space off the end of an answer that the model is to go on with: it is refused there."""
    if turns[-1]["role"] == "assistant":
        last = turns[-1]["content"][-1]
        if isinstance(last.get("text"), str):
            turns[-1]["content"][-1] = {**last, "text": last["text"].rstrip()}
