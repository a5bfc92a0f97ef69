"""A stream of responses as chat completion chunks in OpenAI's format."""

from collections.abc import Iterable

import orjson

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.gemini.candidates import AnswerReader, Piece
from dataplane.dialects.gemini.errors import parse_answers
from dataplane.dialects.gemini.response import delta_bytes
from dataplane.dialects.gemini.usage import render_usage
from dataplane.dialects.openai.errors import parse_error_object
from tollway.kernel.usage import Usage

_DONE = b"[DONE]"
_ERROR = "error"
_OBJECT = "chat.completion.chunk"
_MADE = frozenset(("images", "audio"))


class GeminiStreamParser:
    """`_begun` holds the indexes of choices whose role has been told, `_told` the usage and tier of the last chunk.

    Each chunk has the usage so far, which stands for the whole should the stream break off.
    A stream has no event for its end: it is the end of the body, and good when every candidate has told its reason.
    """

    def __init__(self, call: Call) -> None:
        self._answer = AnswerReader(call)
        self._begun: set[int] = set()
        self._told: tuple[Usage | None, str | None] = (None, None)

    @property
    def is_over(self) -> bool:
        return False

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        data = event.data
        if not data.strip() or data.startswith(_DONE):
            return []
        responses = parse_answers(data)
        if event.event == _ERROR:
            raise parse_error_object(responses[0])
        return [frame for response in responses for frame in self.read(response)]

    def finish(self) -> Iterable[Frame]:
        return self.end()

    def read(self, response: JsonObject) -> list[Frame]:
        """The chunks of one response. Raises UpstreamError for an error in it."""
        pieces = [piece for piece in self._answer.read(response) if self._adds(piece)]
        is_over = self._answer.has_begun and self._answer.is_finished
        if not pieces and not is_over and self._told != self._so_far:
            return [self._on_usage()]
        return [self._on_piece(piece) for piece in pieces]

    def end(self, is_complete: bool = False) -> list[Frame]:
        """The last chunks: what is owed, the finish reasons, and the usage. Raises UpstreamError as `close` does."""
        frames = []
        for piece in self._answer.close(is_complete):
            if piece.delta:
                frames.append(self._on_piece(Piece(piece.choice, piece.delta)))
            frames.append(self._on_finish(piece))
        return frames + self._usage()

    def _adds(self, piece: Piece) -> bool:
        return bool(piece.delta) or piece.logprobs is not None or piece.choice not in self._begun

    @property
    def _so_far(self) -> tuple[Usage | None, str | None]:
        return self._answer.least_usage, self._answer.service_tier

    def _on_piece(self, piece: Piece) -> Frame:
        delta = piece.delta
        if piece.choice not in self._begun:
            self._begun.add(piece.choice)
            delta = {"role": "assistant", "content": ""} | delta
        choice: JsonObject = {"index": piece.choice, "delta": delta, "logprobs": piece.logprobs, "finish_reason": None}
        frame = self._frame([choice])
        frame.is_content = bool(piece.delta)
        least, _ = self._told = self._so_far
        frame.usage = None if self._answer.is_outdated else least
        frame.text_bytes = delta_bytes(piece.delta)
        frame.deltas = int(frame.text_bytes > 0 or not _MADE.isdisjoint(piece.delta))
        return frame

    def _on_usage(self) -> Frame:
        """What a response that adds nothing to any choice says of usage, to none but the meter."""
        usage, tier = self._told = self._so_far
        return Frame(b"", model=self._answer.model, usage=usage, is_content=False, service_tier=tier)

    def _on_finish(self, piece: Piece) -> Frame:
        choice = {"index": piece.choice, "delta": {}, "logprobs": None, "finish_reason": piece.finish}
        frame = self._frame([choice])
        frame.usage = self._answer.usage
        return frame

    def _usage(self) -> list[Frame]:
        """The chunk that tells the usage; none where the provider told none."""
        if self._answer.tokens is None:
            return []
        frame = self._frame([], usage=render_usage(self._answer.tokens))
        frame.usage, frame.is_usage_only = self._answer.usage, True
        return [frame]

    def _frame(self, choices: list[JsonObject], **members: JsonObject) -> Frame:
        chunk = self._answer.envelope | {"object": _OBJECT, "choices": choices, **members}
        return Frame(orjson.dumps(chunk), model=self._answer.model, service_tier=self._answer.service_tier)


def parse_completion_chunks(call: Call, body: bytes) -> list[Frame]:
    """A complete answer as the frames of a stream. Raises UpstreamError when it is not one."""
    parser = GeminiStreamParser(call)
    frames = [frame for response in parse_answers(body) for frame in parser.read(response)]
    return frames + parser.end(is_complete=True)
