"""What is played through a gateway: a recording, who answers, and what a client asks that gets such an answer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from tests.fakes.replayer import forced_tool as _forced_tool
from tests.golden import recordings
from tests.golden.evidence import ANTHROPIC_CHATS, CHATS, COUNTS, KINDS, OPENAI_CHATS, VECTORS, kind_of, read_evidence
from tests.golden.evidence.types import Chat, Evidence, JsonObject, Ranking, Vectors
from tests.golden.recordings import Recording

_SOME_MODEL: Final = "some-model"
_PROVIDERS: Final = {
    "gemini": "google-ai-studio",
    # Its answers are those of the other place; only its credential, which no test has, is another one.
    "vertex": "google-ai-studio",
    "llamacpp": "llama-cpp",
    "azure_openai": "azure-openai",
}
COMPATIBLE: Final = "openai_compatible"
_SAID: Final = "Go on, please."
_SMALL, _TINY = 7, 1
_FEW_BYTES: Final = 2000


class Way(Enum):
    """How a recording is played."""

    WHOLE = "whole"
    STREAMED = "streamed"
    CUT_7 = "cut every 7 bytes"
    CUT_1 = "cut every byte"
    SHAPED = "asked for JSON"
    NATIVE = "Anthropic, native"
    FOREIGN = "Anthropic client"
    FOREIGN_CUT_7 = "Anthropic client, cut every 7 bytes"


_PIECES: Final = {Way.CUT_7: _SMALL, Way.FOREIGN_CUT_7: _SMALL, Way.CUT_1: _TINY}
_FOREIGN: Final = frozenset((Way.FOREIGN, Way.FOREIGN_CUT_7))


@dataclass(frozen=True, slots=True)
class Ask:
    """A client's request: path, and a body that lacks only the name of the upstream before its model."""

    path: str
    body: JsonObject = field(repr=False)

    @property
    def is_stream(self) -> bool:
        return bool(self.body.get("stream"))


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One recording, played in one way. `upstream_path` is the path that it was recorded at, "" where none is known."""

    recording: Recording
    provider: str
    model: str
    way: Way
    upstream_path: str = ""
    evidence: Evidence = field(repr=False, kw_only=True)

    @property
    def name(self) -> str:
        return f"{self.recording.id} {self.way.value}"

    @property
    def token(self) -> str:
        """Names the case in paths."""
        return f"{self.recording.id}.{self.way.name.lower()}"

    @property
    def piece_bytes(self) -> int:
        """Size of the pieces that the answer comes in, 0 for the whole at once."""
        return _PIECES.get(self.way, 0)

    @property
    def is_native(self) -> bool:
        """Whether client and provider both speak Anthropic's format, so that all passes as it came."""
        return self.way is Way.NATIVE

    @property
    def speaks_anthropic(self) -> bool:
        """Whether the client speaks Anthropic's format."""
        return self.way is Way.NATIVE or self.way in _FOREIGN

    @property
    def is_passed(self) -> bool:
        """Whether client and provider both speak OpenAI's format."""
        return not self.speaks_anthropic and kind_of(self.recording) in OPENAI_CHATS

    @property
    def forced_tool(self) -> str:
        """The tool that the recorded request forces, "" for none."""
        return forced_tool(self.recording)

    def ask(self) -> Ask:
        """What the client sends."""
        return _ask(self)


def read_cases(folder: Path, *, all_ways: bool = False) -> list[Case]:
    """All that can be played of the recordings in `folder` and in the folders under it, in order of path.

    With `all_ways`, each in every way that makes sense, also where a sample would do.
    """
    return [case for path in sorted(folder.rglob("*.json")) for case in _cases(path, all_ways=all_ways)]


def unplayed_apis(folder: Path) -> list[str]:
    """The apis of recordings that cannot be played, one for each recording."""
    raws = [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]
    return [raw["api"] for raw in raws if isinstance(raw, dict) and not _is_playable(raw)]


def _is_playable(raw: JsonObject) -> bool:
    return "response" in raw and str(raw["api"]).rpartition(".")[2] in KINDS


def _cases(path: Path, *, all_ways: bool) -> Iterator[Case]:
    raw = json.loads(path.read_text())
    if not isinstance(raw, dict) or not _is_playable(raw):
        return
    recording = recordings.read_recording(path)
    evidence = read_evidence(recording)
    upstream_path = (raw.get("request") or {}).get("path") or ""
    model = raw.get("model") or _SOME_MODEL
    for way in _ways(recording, evidence, all_ways=all_ways):
        yield Case(recording, _provider(raw), model, way, upstream_path, evidence=evidence)


def _provider(raw: JsonObject) -> str:
    provider, _, kind = raw["api"].rpartition(".")
    if kind in ANTHROPIC_CHATS:
        return "anthropic"
    if kind in OPENAI_CHATS - {"chat", "completions"}:
        return COMPATIBLE
    return _PROVIDERS.get(provider, str(provider))


def _ways(recording: Recording, evidence: Evidence, *, all_ways: bool) -> Iterator[Way]:
    kind = kind_of(recording)
    is_streamed = recording.is_stream and recording.status < 400
    if kind not in COUNTS:
        yield Way.STREAMED if is_streamed else Way.WHOLE
    if is_streamed:
        yield Way.CUT_7
    if is_streamed and (all_ways or len(recording.body) < _FEW_BYTES):
        yield Way.CUT_1
    if kind in ANTHROPIC_CHATS and recording.request:
        yield Way.NATIVE
    if forced_tool(recording) and isinstance(evidence, Chat) and _calls_only(evidence, forced_tool(recording)):
        yield Way.SHAPED
    if kind in COUNTS:
        yield Way.NATIVE if recording.api.startswith("anthropic.") else Way.FOREIGN
    is_one = not isinstance(evidence, Chat) or (len(evidence.choices) == 1 and not _is_legacy(evidence))
    is_translatable = kind in CHATS - ANTHROPIC_CHATS - {"completions"} and is_one
    if is_translatable and (all_ways or _is_sample(recording, evidence)):
        yield Way.FOREIGN
        if is_streamed and (all_ways or len(recording.body) < _FEW_BYTES):
            yield Way.FOREIGN_CUT_7


def _is_sample(recording: Recording, evidence: Evidence) -> bool:
    """Native dialects wholly, of the others those whose answers are more than text."""
    if kind_of(recording) not in OPENAI_CHATS or not isinstance(evidence, Chat):
        return kind_of(recording) not in OPENAI_CHATS
    return any(choice.calls and (choice.reasoning or recording.is_stream) for choice in evidence.choices)


def forced_tool(recording: Recording) -> str:
    """The tool that a request in Anthropic's format forces, "" for none: how structured answers are had."""
    return _forced_tool(recording.request or {}) if kind_of(recording) in ANTHROPIC_CHATS else ""


def _is_legacy(chat: Chat) -> bool:
    """Whether it calls a function as only clients of OpenAI's first calls are called."""
    return any("function_call" in choice.finishes for choice in chat.choices)


def _calls_only(chat: Chat, tool: str) -> bool:
    return [call.name for choice in chat.choices for call in choice.calls] == [tool]


def _ask(case: Case) -> Ask:
    recording, kind = case.recording, kind_of(case.recording)
    if kind in COUNTS:
        said = recording.request if case.is_native and recording.request else {"messages": _messages()}
        return Ask("/v1/messages/count_tokens", {**said, "model": case.model})
    if case.is_native:
        return Ask("/v1/messages", {**(recording.request or {}), "model": case.model, **_streaming(recording)})
    if case.way in _FOREIGN:
        return Ask("/v1/messages", _anthropic_chat(case))
    if kind in VECTORS:
        return Ask("/v1/embeddings", _embeddings(case))
    if kind not in CHATS:
        return Ask("/v1/rerank", _rerank(case))
    if kind in OPENAI_CHATS and recording.request:
        return Ask(recording.endpoint, _streamed({**recording.request, "model": case.model}, recording))
    return Ask(recording.endpoint, _streamed(_chat(case), recording))


def _messages() -> list[JsonObject]:
    return [{"role": "user", "content": _SAID}]


def _streaming(recording: Recording) -> JsonObject:
    """What a stream needs that its recorded request does not say, because it is in the path there."""
    return {"stream": True} if recording.is_stream else {}


def _streamed(body: JsonObject, recording: Recording) -> JsonObject:
    if not recording.is_stream:
        return body
    options = {**(body.get("stream_options") or {}), "include_usage": True}
    return {**body, "stream": True, "stream_options": options}


def _chat(case: Case) -> JsonObject:
    choices = case.evidence.choices if isinstance(case.evidence, Chat) else ()
    body: JsonObject = {"model": case.model, "messages": _messages()}
    if case.way is Way.SHAPED:
        shape = {"name": forced_tool(case.recording), "schema": {"type": "object"}, "strict": False}
        return body | {"response_format": {"type": "json_schema", "json_schema": shape}}
    if len(choices) > 1:
        body["n"] = len(choices)
    names = _tool_names(case.evidence)
    if names:
        body["tools"] = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in names]
    return body


def _anthropic_chat(case: Case) -> JsonObject:
    body: JsonObject = {"model": case.model, "max_tokens": 4096, "messages": _messages(), **_streaming(case.recording)}
    names = _tool_names(case.evidence)
    return body | {"tools": [{"name": n, "input_schema": {"type": "object"}} for n in names]} if names else body


def _tool_names(evidence: Evidence) -> list[str]:
    """Names of the tools that an answer calls, each once."""
    choices = evidence.choices if isinstance(evidence, Chat) else ()
    return list(dict.fromkeys(call.name for choice in choices for call in choice.calls))


def _embeddings(case: Case) -> JsonObject:
    request = case.recording.request or {}
    if kind_of(case.recording) == "embeddings" and request:
        return {**request, "model": case.model}
    count = len(case.evidence.vectors) if isinstance(case.evidence, Vectors) else 1
    return {"model": case.model, "input": [f"{_SAID} {number}" for number in range(max(1, count))]}


def _rerank(case: Case) -> JsonObject:
    """Asks for the ranking of as many documents as the recording ranks."""
    results = case.evidence.results if isinstance(case.evidence, Ranking) else ()
    count = 1 + max((index for index, _ in results), default=0)
    documents = [f"{_SAID} {number}" for number in range(count)]
    return {"model": case.model, "query": _SAID, "documents": documents, "top_n": len(results) or count}
