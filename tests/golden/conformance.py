"""The judge of a gateway's answers: what is otherwise in them than in the provider's own, in words.

As a program it plays recordings through a gateway and says how many pass: those of the tests, or of a folder that is
given as argument.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.golden.answers import (
    Answer,
    Reading,
    Said,
    anthropic_error_problems,
    error_problems,
    parse_object,
    read_message,
    read_stream,
    read_whole,
)
from tests.golden.comparing import are_close, differs, is_made_of, joined, shown, unpacked
from tests.golden.evidence.anthropic import read_anthropic_tokens
from tests.golden.evidence.framing import read_sse
from tests.golden.evidence.openai import read_openai_vectors, read_ranking, read_tokens
from tests.golden.evidence.types import (
    Chat,
    Choice,
    Count,
    Evidence,
    Failure,
    JsonObject,
    Ranking,
    Tokens,
    ToolCall,
    Vectors,
)
from tollway.kernel.usage import Usage

EXCEPTIONS: Final = {
    "openai-embeddings-a540ab01eb7a": "an organisation's report of usage, which no call to a model is answered with",
    "perplexity-embeddings-3c77312abcb5": "vectors of eight-bit integers, a form of its own that passes as it is",
    "llamacpp-chat-797ef5869bd2": "an image at a loopback address, which callers may not have a server fetch",
}
"""Recordings that need not pass, by id, and why: no answer to a call through this API, or a call that is forbidden."""

_ANTHROPIC_FINISHES: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_LEAKS: Final = ("Traceback", ".py", "/dataplane/")


@dataclass(frozen=True, slots=True)
class Format:
    """What a client speaks: Anthropic's format or OpenAI's, and there text completions or chats.

    With `is_passed` the provider speaks OpenAI's format too: what it named and counted stays as it was.
    """

    is_anthropic: bool = False
    is_text: bool = False
    is_passed: bool = False

    def read(self, answer: Answer) -> Reading:
        if self.is_anthropic:
            return read_message(answer)
        read = read_stream if answer.is_stream else read_whole
        return read(answer.body, is_text=self.is_text, is_passed=self.is_passed)

    def tokens(self, usage: Any) -> Tokens | None:
        """What the usage of an answer says, exactly as clients read it."""
        if not isinstance(usage, dict):
            return None
        return read_anthropic_tokens(usage) if self.is_anthropic else _openai_tokens(usage)

    def finish(self, said: Said) -> str:
        """OpenAI's word for how an answer ended, "" where its own word is none of the format's."""
        word = said.finishes[-1] if said.finishes else ""
        return _ANTHROPIC_FINISHES.get(word, "") if self.is_anthropic else word


OPENAI: Final = Format()


def judge(evidence: Evidence, answer: Answer, spoken: Format = OPENAI, *, is_stream: bool = False) -> list[str]:
    """What is wrong with the answer to a client that speaks `spoken`, and asked for a stream or not."""
    problems = [f"it shows {leak!r}" for leak in _LEAKS if leak in _error_text(answer)]
    match evidence:
        case Failure():
            problems += _judge_failure(evidence, answer, spoken)
        case Chat() if evidence.may_fail and answer.status >= 400:
            problems += _error_form(answer, spoken)
        case Chat() if evidence.is_broken and answer.status >= 400:
            problems += _error_form(answer, spoken)
        case _ if answer.status != 200:
            problems.append(f"the status is {answer.status}: {shown(answer.body.decode(errors='replace'))}")
        case Chat():
            problems += _judge_chat(evidence, answer, spoken, is_stream=is_stream)
        case Vectors():
            problems += _judge_vectors(evidence, parse_object(answer.body.decode()))
        case Ranking():
            problems += _judge_ranking(evidence, parse_object(answer.body.decode()))
        case Count():
            counted = parse_object(answer.body.decode()).get("input_tokens")
            problems += differs("input_tokens", evidence.tokens, counted)
    return problems


def judge_passed(recorded: bytes, answer: Answer) -> list[str]:
    """What is wrong with an answer that must pass as the provider gave it: bytes, or events and their data."""
    if answer.status != 200:
        return [f"the status is {answer.status}: {shown(answer.body.decode(errors='replace'))}"]
    if answer.body == recorded:
        return []
    if not answer.is_stream:
        return ["the answer is not byte for byte the provider's"]
    # Some hosts of this format end its streams as OpenAI's end.
    given, passed = [event for event in read_sse(recorded) if event.data != "[DONE]"], read_sse(answer.body)
    if given == passed:
        return []
    at = next((at for at, (one, other) in enumerate(zip(given, passed, strict=False)) if one != other), len(passed))
    return [f"of {len(given)} events {len(passed)} came, and they differ from event {at} on"]


def judge_ledger(evidence: Evidence, used: Usage) -> list[str]:
    """Where the meters of the ledger are not what the provider says."""
    if isinstance(evidence, Vectors) and evidence.tokens is not None:
        return list(differs("the ledger's input", evidence.tokens, used.input_tokens))
    if not isinstance(evidence, Chat) or evidence.usage is None or evidence.is_broken:
        return []
    told = evidence.billed or evidence.usage
    if not told.prompt and not told.completion:
        # Nothing at all is not believed of an answer with text: it is estimated.
        return []
    told = _credible(told)
    metered = Tokens(
        used.input_tokens,
        used.output_tokens,
        used.cache_read + used.cache_read_audio,
        used.cache_write_5m + used.cache_write_1h,
        min(used.reasoning, used.output_tokens),
    )
    return list(differs("the ledger's usage", told, metered))


def _credible(told: Tokens) -> Tokens:
    """`told`, of which no part is larger than the whole, as some providers have it."""
    cached, reasoning = min(told.cached, told.prompt), min(told.reasoning, told.completion)
    return replace(told, cached=cached, reasoning=reasoning)


def shaped(chat: Chat, tool: str) -> Chat:
    """`chat`, which was made to call `tool` for the sake of its arguments' form, as its client must see it."""
    choice = chat.choices[0]
    calls = [call for call in choice.calls if call.name == tool]
    if len(calls) != 1 or len(choice.calls) != 1:
        return chat
    finishes = frozenset("stop" if finish == "tool_calls" else finish for finish in choice.finishes)
    told = Choice(
        (json.dumps(calls[0].arguments),),
        choice.reasoning,
        finishes=finishes,
        signatures=choice.signatures,
        is_json=True,
    )
    return Chat((told,), chat.usage, chat.id, chat.is_broken, chat.may_fail)


def _judge_failure(failure: Failure, answer: Answer, spoken: Format) -> Iterator[str]:
    if answer.status not in failure.statuses:
        yield f"the status is {answer.status}, not {' or '.join(map(str, sorted(failure.statuses)[:3]))}"
    yield from _error_form(answer, spoken)
    message = _message(answer)
    missing = [words for words in failure.words if words not in message] if failure.is_told else []
    if missing:
        yield f"the provider's words are not in the message {shown(message)!r}: {shown(missing[0])!r}"
    if failure.retry_after_s is not None and failure.retry_after_s > float(answer.headers.get("retry-after", -1)) + 1:
        yield f"retry-after is {answer.headers.get('retry-after')}, not {math.ceil(failure.retry_after_s)}"


def _error_form(answer: Answer, spoken: Format) -> Iterator[str]:
    body = parse_object(answer.body.decode(errors="replace"))
    return anthropic_error_problems(body) if spoken.is_anthropic else error_problems(body)


def _error_text(answer: Answer) -> str:
    """What may show the gateway's inside; answers of models may say anything."""
    return answer.body.decode(errors="replace") if answer.status >= 500 else ""


def _message(answer: Answer) -> str:
    error = parse_object(answer.body.decode(errors="replace")).get("error")
    return str(error.get("message") or "") if isinstance(error, dict) else ""


def _judge_chat(chat: Chat, answer: Answer, spoken: Format, *, is_stream: bool) -> Iterator[str]:
    if answer.is_stream != is_stream:
        yield f"the content-type is {answer.headers.get('content-type')!r}"
        return
    reading = spoken.read(answer)
    yield from reading.problems
    if chat.is_broken or (chat.may_fail and reading.error is not None):
        if reading.error is None:
            yield "the stream broke off, and no error says so"
        return
    if reading.error is not None:
        yield f"the stream tells an error: {shown(json.dumps(reading.error))}"
    yield from differs("choices", len(chat.choices), len(reading.choices))
    for choice, said in zip(chat.choices, reading.choices, strict=False):
        yield from _judge_choice(choice, said, spoken, answer)
    if chat.usage is not None:
        yield from _judge_usage(chat.usage, reading.usage, spoken)


def _judge_choice(choice: Choice, said: Said, spoken: Format, answer: Answer) -> Iterator[str]:
    yield from _judge_text(choice, said, spoken)
    yield from _judge_calls(choice.calls, said.calls)
    yield from _judge_finish(choice, said, spoken)
    # A client of Anthropic's format may be sent only what a provider of that format has signed.
    signatures = () if spoken.is_anthropic else choice.signatures
    for signature in signatures:
        told = (signature, unpacked(signature))
        if not any(form and (form in said.details or form in answer.body.decode()) for form in told):
            yield f"a signature, or hidden reasoning, is lost: {shown(signature)!r}"


def _judge_text(choice: Choice, said: Said, spoken: Format) -> Iterator[str]:
    """A plan may be told either way, and a refusal as text where the format has no other place."""
    blocks: Sequence[str | None] = choice.text
    refusal = choice.refusal
    if spoken.is_anthropic and refusal:
        blocks, refusal = (*blocks, refusal), ""
    as_reasoning = is_made_of(blocks, said.text), is_made_of((choice.plan, *choice.reasoning), said.reasoning)
    as_text = is_made_of((choice.plan, *blocks), said.text), is_made_of(choice.reasoning, said.reasoning)
    if choice.is_refusal and not any((as_reasoning[0], as_text[0])):
        as_text = is_made_of(blocks, said.refusal), as_text[1]
    is_text, is_reasoning = as_reasoning if all(as_reasoning) else as_text
    if not is_text and not (choice.is_json and parse_object(said.text) == parse_object(joined(blocks))):
        yield f"text: given {shown(joined(blocks))!r}, got {shown(said.text)!r}"
    if not is_reasoning:
        yield f"reasoning: given {shown(joined(choice.reasoning))!r}, got {shown(said.reasoning)!r}"
    if not choice.is_refusal:
        yield from differs("refusal", refusal, said.refusal)


def _judge_calls(given: Sequence[ToolCall], got: Sequence[ToolCall]) -> Iterator[str]:
    yield from differs("calls", [call.name for call in given], [call.name for call in got])
    for one, other in zip(given, got, strict=False):
        yield from differs(f"arguments of {one.name}", one.arguments, other.arguments)
    ids = [call.id for call in got]
    if not all(ids) or len(set(ids)) != len(ids):
        yield f"ids of calls are missing or not unique: {ids}"
    told = [call.id for call in given]
    if all(told) and len(set(told)) == len(told):
        yield from differs("ids of calls", told, ids)


def _judge_finish(choice: Choice, said: Said, spoken: Format) -> Iterator[str]:
    finish = spoken.finish(said)
    is_refused = spoken.is_anthropic and choice.refusal and finish == "content_filter"
    if choice.finishes and finish not in choice.finishes and not is_refused:
        yield f"the end is {said.finishes}, not {' or '.join(sorted(choice.finishes))}"


def _judge_usage(told: Tokens, usage: Any, spoken: Format) -> Iterator[str]:
    got = spoken.tokens(usage)
    if got is None:
        yield f"usage is {shown(json.dumps(usage))}"
        return
    if spoken.is_anthropic:
        told = replace(_credible(told), reasoning=got.reasoning)
    yield from differs("usage", told, got)
    if not spoken.is_anthropic and not spoken.is_passed:
        yield from differs("total_tokens", told.prompt + told.completion, usage.get("total_tokens"))


def _openai_tokens(usage: JsonObject) -> Tokens | None:
    """Only what stands where OpenAI has it."""
    known = {
        name: usage.get(name)
        for name in ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")
    }
    return read_tokens(known)


def _judge_vectors(told: Vectors, answer: JsonObject) -> Iterator[str]:
    got = read_openai_vectors(answer)
    if answer.get("object") != "list" or not answer.get("model"):
        yield f"object is {answer.get('object')!r}, model {answer.get('model')!r}"
    yield from differs("indexes", list(range(len(got.vectors))), [d.get("index") for d in answer.get("data") or []])
    yield from differs("vectors", len(told.vectors), len(got.vectors))
    for at, (one, other) in enumerate(zip(told.vectors, got.vectors, strict=False)):
        is_same = one == other or (one is not None and other is not None and are_close(one, other))
        if not is_same:
            yield f"vector {at} is another one"
    if told.tokens is not None:
        yield from differs("prompt_tokens", told.tokens, (answer.get("usage") or {}).get("prompt_tokens"))


def _judge_ranking(told: Ranking, answer: JsonObject) -> Iterator[str]:
    if not isinstance(answer.get("results"), list):
        yield "it has no results"
        return
    yield from differs("results", told, read_ranking(answer))
    if not answer.get("usage") and not answer.get("meta"):
        yield "it has neither usage nor meta"


if __name__ == "__main__":
    from tests.golden.playing import main

    sys.exit(main(sys.argv[1:]))
