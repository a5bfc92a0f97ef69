"""What an exchange says, in words that belong to no wire format."""

import json
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

JsonObject: TypeAlias = dict[str, Any]

OPENAI_FINISHES: Final = frozenset(("stop", "length", "tool_calls", "content_filter"))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call for the client; `arguments` are parsed, or the text that came where it is no JSON.

    `id` is "" where none was given.
    """

    name: str
    arguments: Any
    id: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to a call.

    `text` and `reasoning` are blocks in order; None among them stands where a tool of the provider's own was at work,
    of which a gateway may tell or not. `finishes` are OpenAI's words that tell how it ended, empty for an answer that
    broke off. `is_refusal` says that the text may be given as a refusal. `plan` is text on the way to calls, which may
    be told as text or as reasoning. `signatures` are proofs and hidden blocks of reasoning, for a later turn to send
    back. `is_json` says that the text is a JSON value, however it is written.
    """

    text: tuple[str | None, ...] = ()
    reasoning: tuple[str, ...] = ()
    refusal: str = ""
    calls: tuple[ToolCall, ...] = ()
    finishes: frozenset[str] = frozenset()
    is_refusal: bool = False
    plan: str = ""
    signatures: tuple[str, ...] = ()
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class Tokens:
    """Usage as OpenAI counts it: cached and cache-written tokens inside `prompt`, `reasoning` inside `completion`."""

    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat's or a text completion's answer. `is_broken` says that its stream came to no good end.

    `may_fail` says that a gateway may as well call it an error. `billed` is what costs money, where that is another
    count than `usage`, which clients are told.
    """

    choices: tuple[Choice, ...]
    usage: Tokens | None = None
    id: str = ""
    is_broken: bool = False
    may_fail: bool = False
    billed: Tokens | None = None


@dataclass(frozen=True, slots=True)
class Vectors:
    """Embeddings in order of their inputs; None for one that is not told in numbers."""

    vectors: tuple[tuple[float, ...] | None, ...]
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Index and relevance of documents, the most relevant first."""

    results: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Count:
    """How many tokens a call would have."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Failure:
    """An error: statuses that tell clients of it, and the provider's own words, which `is_told` says they must get.

    `retry_after_s` is the pause that it asks for.
    """

    statuses: frozenset[int]
    words: tuple[str, ...] = ()
    is_told: bool = False
    retry_after_s: float | None = None


Evidence: TypeAlias = Chat | Vectors | Ranking | Count | Failure


@dataclass(slots=True)
class OpenCall:
    """A tool call whose pieces are still arriving."""

    name: str = ""
    id: str = ""
    pieces: list[str] = field(default_factory=list)

    def close(self, arguments: Any = None) -> ToolCall:
        """The whole call; `arguments` are those that came in one piece already."""
        text = "".join(self.pieces)
        return ToolCall(self.name, parse_arguments(text) if text else arguments or {}, self.id)


@dataclass(slots=True)
class OpenChoice:
    """A choice whose pieces are still arriving."""

    text: list[str | None] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    plan: str = ""
    signatures: list[str] = field(default_factory=list)

    def close(self, finishes: frozenset[str]) -> Choice:
        """The whole choice, without blocks that hold nothing."""
        return Choice(
            text=tuple(block for block in self.text if block != ""),
            reasoning=tuple(block for block in self.reasoning if block),
            refusal=self.refusal,
            calls=tuple(self.calls),
            finishes=finishes,
            plan=self.plan,
            signatures=tuple(signature for signature in self.signatures if signature),
        )


def parse_arguments(text: Any) -> Any:
    """The value of a tool call's `text`: no text is no arguments, and text that is no JSON stands for itself."""
    if not isinstance(text, str):
        return text
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except ValueError:
        return text


def finishes_of(word: str, calls: list[ToolCall]) -> frozenset[str]:
    """How an answer of a native dialect ends, of which `word` is OpenAI's word, "" where there is none for it.

    One with calls that ended well ends with them.
    """
    if not word:
        return OPENAI_FINISHES
    if not calls:
        return frozenset((word,))
    return frozenset(("tool_calls",)) if word == "stop" else frozenset((word, "tool_calls"))
