"""What the models say."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tollctl.sim.asks import Ask
from tollctl.sim.models import Behaviour
from tollctl.sim.specimens import make_specimen
from tollctl.sim.words import count_words, cut_at_stop, make_lorem, split_words

_STREAM_WORDS = 100
_WORDS_AFTER_CUTOFF = 20


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to one prompt.

    pieces: one word each, of the text or of the tool call's arguments.
    tool_name: the function called; "" where the answer is text.
    """

    pieces: Sequence[str]
    finish_reason: str
    tool_name: str = ""

    @property
    def tokens(self) -> int:
        """Words: of a tool call those of its name and its arguments."""
        return len(self.pieces) + count_words(self.tool_name)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def compose_choices(ask: Ask) -> list[Choice]:
    """The choices in the order of their index: `n` for each prompt."""
    return [choice for text in ask.texts for choice in [_compose_choice(ask, text)] * ask.choices]


def _compose_choice(ask: Ask, text: str) -> Choice:
    if ask.tool is not None and ask.model.behaviour is Behaviour.TOOLS:
        arguments = _spell(make_specimen(ask.tool.get("parameters") or {"type": "object"}))
        return Choice(split_words(arguments), "tool_calls", str(ask.tool["name"]))
    return _limit(ask, _compose_pieces(ask, text))


def _compose_pieces(ask: Ask, text: str) -> Sequence[str]:
    match ask.model.behaviour:
        case Behaviour.LOREM | Behaviour.NOUSAGE:
            return make_lorem(ask.model.amount)
        case Behaviour.STREAM | Behaviour.LINGER:
            return make_lorem(max(_STREAM_WORDS, ask.output_max or 0))
        case Behaviour.CUTOFF | Behaviour.MALFORMED:
            return make_lorem(ask.model.amount + _WORDS_AFTER_CUTOFF)
        case Behaviour.JSON:
            value = {"echo": text} if ask.schema is None else make_specimen(ask.schema)
            return split_words(_spell(value))
    return split_words(text)


def _spell(value: Any) -> str:
    """JSON with spaces, so that it has several words."""
    return json.dumps(value, ensure_ascii=False)


def _limit(ask: Ask, pieces: Sequence[str]) -> Choice:
    """Apply the stop sequences and the output limit."""
    finish_reason = "stop"
    if ask.stops and (before := cut_at_stop(pieces, ask.stops)) is not None:
        pieces = before
    if ask.output_max is not None and len(pieces) > ask.output_max:
        pieces, finish_reason = pieces[: ask.output_max], "length"
    return Choice(pieces, finish_reason)
