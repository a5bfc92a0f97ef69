"""Candidates as deltas in OpenAI's format: one reader for answers that come whole and for those in pieces."""

from typing import NamedTuple

from dataplane.call import Call, JsonObject
from dataplane.dialects.gemini.calls import CallReader
from dataplane.dialects.gemini.errors import raise_error_in
from dataplane.dialects.gemini.fields import index_at, object_at, objects_at, text_at
from dataplane.dialects.gemini.finish import CONTENT_FILTER, LENGTH, STOP, TOOL_CALLS, parse_finish
from dataplane.dialects.gemini.grounding import Grounding, count_searches
from dataplane.dialects.gemini.logprobs import render_logprobs
from dataplane.dialects.gemini.models import parse_model
from dataplane.dialects.gemini.signatures import OWN_TOOL_PARTS, extra_content, own_tool_detail, reasoning_detail
from dataplane.dialects.gemini.sound import join_sound
from dataplane.dialects.gemini.usage import parse_service_tier, parse_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind
from tollway.kernel.usage import NO_USAGE, Usage

_NO_BLOCK = "BLOCKED_REASON_UNSPECIFIED"


class Piece(NamedTuple):
    """What one response adds to the choice of this index; `finish` is "" until its end."""

    choice: int
    delta: JsonObject
    logprobs: JsonObject | None = None
    finish: str = ""


class CandidateReader:
    """One candidate. Of parts that the provider ran itself (code, searches) and of what came of them nothing is told
    but what it wants back.

    `grounding` is what it rests on. `_text` is what was said so far, which citations count in; `_finish` is "" until
    the candidate has told its end.
    """

    def __init__(self, request_id: str, index: int) -> None:
        self._calls = CallReader(request_id, index)
        self._sound_id = f"audio_{request_id}_{index}"
        self._text: list[str] = []
        self._details = 0
        self._images = 0
        self.grounding = Grounding()
        self._finish = ""

    @property
    def is_finished(self) -> bool:
        return self._finish != ""

    def read(self, candidate: JsonObject) -> JsonObject:
        """What `candidate` adds."""
        delta: JsonObject = {}
        for part in objects_at(object_at(candidate, "content"), "parts"):
            self._on_part(part, delta)
        self.grounding.add(object_at(candidate, "groundingMetadata"))
        self._finish = parse_finish(candidate.get("finishReason")) or self._finish
        return delta

    def close(self, finish: str) -> tuple[JsonObject, str]:
        """What is still owed, and the finish_reason: `finish` where the candidate told none."""
        delta: JsonObject = {}
        is_cut = self._calls.is_open and self._finish == LENGTH
        if calls := self._calls.close():
            delta["tool_calls"] = calls
        if annotations := self.grounding.annotations("".join(self._text)):
            delta["annotations"] = annotations
        return delta, TOOL_CALLS if self._calls.count and not is_cut else self._finish or finish

    def _on_part(self, part: JsonObject, delta: JsonObject) -> None:
        signature, is_thought = text_at(part, "thoughtSignature"), bool(part.get("thought"))
        if "functionCall" in part:
            if calls := self._calls.read(object_at(part, "functionCall"), signature):
                delta.setdefault("tool_calls", []).extend(calls)
        elif "text" in part:
            self._on_text(text_at(part, "text"), is_thought, signature, delta)
        elif not part.keys().isdisjoint(OWN_TOOL_PARTS):
            self.grounding.add_call(object_at(part, "toolCall"))
            self._add_detail(own_tool_detail(part, self._details), delta)
        elif "inlineData" in part and not is_thought:
            self._on_file(object_at(part, "inlineData"), signature, delta)

    def _on_text(self, text: str, is_thought: bool, signature: str, delta: JsonObject) -> None:
        if text:
            name = "reasoning_content" if is_thought else "content"
            delta[name] = delta.get(name, "") + text
            if not is_thought:
                self._text.append(text)
        if signature:
            self._add_detail(reasoning_detail(signature, self._details), delta)

    def _add_detail(self, detail: JsonObject, delta: JsonObject) -> None:
        delta.setdefault("reasoning_details", []).append(detail)
        self._details += 1

    def _on_file(self, file: JsonObject, signature: str, delta: JsonObject) -> None:
        """An image, as an address that holds it, or sound; other files have no place in a message."""
        media_type, data = text_at(file, "mimeType"), text_at(file, "data")
        if media_type.startswith("image/") and data:
            address = {"url": f"data:{media_type};base64,{data}"}
            shown = {"type": "image_url", "image_url": address, "index": self._images}
            delta.setdefault("images", []).append(shown | extra_content(signature))
            self._images += 1
        elif media_type.startswith("audio/") and data:
            delta["audio"] = join_sound(delta.get("audio"), {"id": self._sound_id, "data": data, "transcript": ""})


class AnswerReader:
    """A whole answer, of one response or of many: its candidates by index, and what the last response says of it.

    `tokens` are those that it told last, None where it told none; `_most_tokens` those that came to the most.
    `is_outdated` says that more of the answer came after that, in responses that told none.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._candidates: dict[int, CandidateReader] = {}
        self._is_blocked = False
        self._id = ""
        self.model = ""
        self.tokens: Usage | None = None
        self.is_outdated = False
        self._most_tokens: Usage | None = None
        self.service_tier: str | None = None

    @property
    def has_begun(self) -> bool:
        return bool(self._candidates)

    @property
    def is_finished(self) -> bool:
        """Whether every candidate has told its end, or the provider that it will not answer."""
        return self._is_blocked or all(candidate.is_finished for candidate in self._candidates.values())

    @property
    def usage(self) -> Usage | None:
        """What was used, searches with it; None where neither is told, or more came after it."""
        return None if self.is_outdated else self._with_searches(self.tokens)

    @property
    def least_usage(self) -> Usage | None:
        """What was used at least, should the answer break off here: counts may begin anew after a tool of Google's."""
        return self._with_searches(self._most_tokens)

    @property
    def envelope(self) -> JsonObject:
        """Members that every chunk and the answer have in common."""
        identity = self._id or self._call.request_id
        model = self.model or self._call.model
        return {"id": f"chatcmpl-{identity}", "created": self._call.start_time_us // 1_000_000, "model": model}

    def read(self, answer: JsonObject) -> list[Piece]:
        """What a response adds to its choices. Raises UpstreamError for an error in it."""
        raise_error_in(answer)
        self._id = self._id or text_at(answer, "responseId")
        self.model = text_at(answer, "modelVersion") or self.model
        candidates = objects_at(answer, "candidates")
        pieces = [self._piece(candidate, at) for at, candidate in enumerate(candidates)]
        self._on_usage(answer, adds=any(piece.delta for piece in pieces))
        reason = object_at(answer, "promptFeedback").get("blockReason")
        if reason and reason != _NO_BLOCK:
            self._is_blocked = True
            if not self._candidates:
                pieces.append(self._piece({}, 0))
        return pieces

    def close(self, is_complete: bool = False) -> list[Piece]:
        """The ends of all choices; `is_complete` says that the answer came whole, whatever it tells of its end.

        Raises UpstreamError when there is no answer, or one that broke off.
        """
        if not self.has_begun:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no candidate.")
        if not is_complete and not self.is_finished:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream broke off its answer.")
        pieces = []
        for index, candidate in self._candidates.items():
            delta, finish = candidate.close(CONTENT_FILTER if self._is_blocked else STOP)
            pieces.append(Piece(index, delta, finish=finish))
        return pieces

    def _on_usage(self, answer: JsonObject, *, adds: bool) -> None:
        """Reads what a response tells of usage; it `adds` to a choice, or does not."""
        tokens, tier = parse_usage(answer), parse_service_tier(answer)
        if tokens is None:
            self.is_outdated |= adds and self.tokens is not None
        else:
            self.tokens, self.is_outdated = tokens, False
            self._most_tokens = max(tokens, self._most_tokens or tokens, key=_size)
        if tier is not None:
            self.service_tier = tier

    def _with_searches(self, tokens: Usage | None) -> Usage | None:
        groundings = [candidate.grounding for candidate in self._candidates.values()]
        searches = count_searches(groundings, is_billed_by_query=parse_model(self.model).is_billed_by_query)
        return (tokens or NO_USAGE)._replace(search=searches) if searches else tokens

    def _piece(self, candidate: JsonObject, position: int) -> Piece:
        index = index_at(candidate, "index", position)
        reader = self._candidates.get(index)
        if reader is None:
            reader = self._candidates[index] = CandidateReader(self._call.request_id, index)
        return Piece(index, reader.read(candidate), render_logprobs(candidate))


def _size(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens
