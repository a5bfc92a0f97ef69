"""Content blocks, whole or in pieces, as deltas of the hub: the one way from Bedrock's answers to OpenAI's."""

from dataclasses import dataclass, field
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.bedrock.answer import finish_reason
from dataplane.dialects.bedrock.answer_tool import AnswerText, is_answer_tool
from dataplane.dialects.bedrock.citations import annotation
from dataplane.dialects.bedrock.reasoning import redacted_detail, signed_detail
from dataplane.dialects.claude import answer_tool_name
from dataplane.dialects.hub import list_of, object_of, text_of
from dataplane.dialects.openai.mending import encode

_CLIENTS_USES: Final = ("", "tool_use")
"""Types of a tool's use by the client, which some models name; all others are of the provider's own tools."""
_SEARCH: Final = "nova_grounding"


@dataclass(slots=True)
class _Block:
    """A block under way: `call` is its number among the client's tools, None for any other block.

    `is_answer` marks the tool whose input is the answer; a tool's use that is neither is left out. `citations` are
    those of its text, or of the text before a block that has none.
    """

    call: int | None = None
    is_answer: bool = False
    has_input: bool = False
    has_text: bool = False
    reasoning: str = ""
    signature: str = ""
    citations: list[JsonObject] = field(default_factory=list)


class BlockTranslator:
    """State of one answer: the blocks under way by index, and what is numbered over all of them.

    `searches` are those of the web that the provider made for it, and bills.
    """

    def __init__(self, call: Call) -> None:
        self.searches = 0
        self._call = call
        self._answer_tool = answer_tool_name(call.body)
        self._text = AnswerText(wants_json=self._answer_tool is not None)
        self._blocks: dict[Any, _Block] = {}
        self._ids: set[str] = set()
        self._calls = 0
        self._details = 0
        self._characters = 0
        self._text_start = 0

    def start(self, index: Any, start: JsonObject) -> list[JsonObject]:
        """Deltas for the start of a block, of which only a tool's use tells anything."""
        block = self._blocks[index] = _Block()
        use = start.get("toolUse")
        if not isinstance(use, dict):
            return []
        name = text_of(use.get("name"))
        if text_of(use.get("type")) not in _CLIENTS_USES:
            self.searches += name == _SEARCH
            return []
        if is_answer_tool(name, self._answer_tool):
            block.is_answer = self._text.answer()
            return []
        block.call, self._calls = self._calls, self._calls + 1
        function = {"name": name, "arguments": ""}
        identity = self._identity(use.get("toolUseId"), block.call)
        return [{"tool_calls": [{"index": block.call, "id": identity, "type": "function", "function": function}]}]

    def add(self, index: Any, delta: JsonObject) -> list[JsonObject]:
        """Deltas for a piece of a block."""
        block = self._blocks.setdefault(index, _Block())
        if "toolUse" in delta:
            return self._input(block, text_of(object_of(delta["toolUse"]).get("input")))
        if "reasoningContent" in delta:
            return self._reasoning(block, object_of(delta["reasoningContent"]))
        if "citation" in delta:
            block.citations.append(object_of(delta["citation"]))
            return []
        return self._add_text(block, text_of(delta.get("text")))

    def stop(self, index: Any) -> list[JsonObject]:
        """Deltas owed at the end of a block."""
        block = self._blocks.pop(index, None)
        if block is None:
            return []
        if (block.call is not None or block.is_answer) and not block.has_input:
            return self._input(block, "{}")
        if block.signature:
            self._details += 1
            return [{"reasoning_details": [signed_detail(block.reasoning, block.signature, self._details - 1)]}]
        return self._annotations(block)

    def finish(self, stop_reason: Any) -> tuple[list[JsonObject], str]:
        """Deltas owed at the end of the answer, and why it ended."""
        deltas = [delta for index in list(self._blocks) for delta in self.stop(index)]
        if text := self._text.rest():
            deltas.append({"content": text})
        return deltas, finish_reason(stop_reason, self._calls > 0)

    def whole(self, index: int, block: JsonObject) -> list[JsonObject]:
        """Deltas for a complete block."""
        deltas = self.start(index, block)
        for piece in _pieces(block):
            deltas += self.add(index, piece)
        return deltas + self.stop(index)

    def _add_text(self, block: _Block, told: str) -> list[JsonObject]:
        text = self._text.add(told)
        if not text:
            return []
        if not block.has_text:
            block.has_text, self._text_start = True, self._characters
        self._characters += len(text)
        return [{"content": text}]

    def _annotations(self, block: _Block) -> list[JsonObject]:
        """What the latest text rests on, as far as it can be told; text that is kept back has no place yet."""
        if self._answer_tool is not None:
            return []
        noted = [annotation(citation, self._text_start, self._characters) for citation in block.citations]
        told = [note for note in noted if note is not None]
        return [{"annotations": told}] if told else []

    def _input(self, block: _Block, text: str) -> list[JsonObject]:
        if not text or (block.call is None and not block.is_answer):
            return []
        block.has_input = True
        if block.is_answer:
            return [{"content": text}]
        return [{"tool_calls": [{"index": block.call, "function": {"arguments": text}}]}]

    def _reasoning(self, block: _Block, reasoning: JsonObject) -> list[JsonObject]:
        block.signature += text_of(reasoning.get("signature"))
        if blob := text_of(reasoning.get("redactedContent")):
            self._details += 1
            return [{"reasoning_details": [redacted_detail(blob, self._details - 1)]}]
        text = text_of(reasoning.get("text"))
        block.reasoning += text
        return [{"reasoning_content": text}] if text else []

    def _identity(self, told: Any, number: int) -> str:
        """The id of a tool's use: one is made where none is told, or one that an earlier use has."""
        identity = text_of(told)
        if not identity or identity in self._ids:
            identity = f"call_{self._call.request_id}_{number}"
        self._ids.add(identity)
        return identity


def _pieces(block: JsonObject) -> list[JsonObject]:
    """A complete block as the deltas that would have told it in a stream."""
    if "toolUse" in block:
        return [{"toolUse": {"input": encode(object_of(block["toolUse"]).get("input") or {}).decode()}}]
    if "reasoningContent" in block:
        reasoning = object_of(block["reasoningContent"])
        return [{"reasoningContent": {**reasoning, **object_of(reasoning.get("reasoningText"))}}]
    if "citationsContent" in block:
        cited = object_of(block["citationsContent"])
        texts = [{"text": object_of(item).get("text")} for item in list_of(cited.get("content"))]
        return [*texts, *({"citation": citation} for citation in list_of(cited.get("citations")))]
    return [block]
