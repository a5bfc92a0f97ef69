"""How many tokens a call will take: an upper bound, and what such calls took before. Pure, and never a tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataplane.call import COUNT_TOKENS, Call, JsonObject
from dataplane.limits.content import Content, text_bytes
from dataplane.limits.openings import defined_tools, open_member, providers_tool
from dataplane.limits.research import searches_of
from dataplane.snapshot import Target

TOKENS_PER_MESSAGE: Final = 16
"""Markup around a message, and around the whole conversation."""
TOKENS_PER_TOOLBOX: Final = 512
"""What a provider writes around the definitions of tools."""
TOKENS_PER_DEFINED_TOOL: Final = 1_280
"""A tool that the provider defines and the client runs: Anthropic's for computers has 735, and 499 of instructions."""
TOKENS_PER_OWN_TOOL: Final = 256
"""Name, description and form of a tool that the gateway or a provider adds."""
PARTS_PER_MILLION: Final = 1_000_000
FIRST_RATIO_PPM: Final = 330_000
FIRST_OUTPUT_TOKENS: Final = 256
_MOST_BYTES_OF_A_TOKEN: Final = 8
_NO_INPUT: Final = frozenset(("model", "metadata", "user", "stream_options", "service_tier"))
_TOKENIZED: Final = frozenset(("prompt", "input"))
_CONTENT: Final = frozenset(("messages", "input", "system"))
_DEFINITIONS: Final = frozenset(
    (
        *("tools", "functions", "tool_choice", "function_call", "response_format", "output_format", "output_config"),
        *("audio", "guided_json", "structured_outputs", "json_schema"),
    )
)
"""Members that say what the client runs, or what the answer is to be: whatever they name, no content is in them."""
_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_COUNTS: Final = frozenset((*_OUTPUT_LIMITS, "n", "best_of"))
_MULTIPLYING: Final = frozenset(("n", "best_of", "prompt"))
_FORMATS: Final = frozenset(("response_format", "output_format", "output_config"))
_ANTHROPIC: Final = "anthropic"
_RERANK: Final = "rerank"
_DOCUMENTS_PER_SEARCH: Final = 100
_BYTES_PER_DOCUMENT: Final = 510
"""Rerankers take a document of more tokens apart, and count each part."""
_OPERATIONS_WITHOUT_OUTPUT: Final = frozenset(("embeddings", _RERANK))
_LEARNED_MODELS: Final = 4_096
_RATIO_RISE, _OUTPUT_RISE, _FALL = 1, 2, 128


@dataclass(slots=True)
class Size(Content):
    """What a call asks for: its body's content, and what comes of that.

    `markup_tokens` are the most that a provider adds. `answers` are asked for, each of at most `output_limit` tokens;
    None where the client set no limit. `predicted_bytes` are those of a predicted answer, which is billed as output
    where it does not come true. `searches` are the most that a ranking is billed for, or a model that searches unasked.
    """

    markup_tokens: int = 0
    answers: int = 1
    output_limit: int | None = None
    has_output: bool = True
    predicted_bytes: int = 0
    searches: int = 0

    @property
    def least_input(self) -> int:
        """Tokens of input that such text surely has, about: a token is seldom more than eight bytes."""
        return self.text_bytes // _MOST_BYTES_OF_A_TOKEN

    @property
    def input_bound(self) -> int:
        return self.text_bytes + self.markup_tokens + self.media_bound

    def output_bound(self, limit_without: int) -> int:
        """The most that can come out, where `limit_without` is the limit of an answer for which the client set none."""
        if not self.has_output:
            return 0
        limit = limit_without if self.output_limit is None else self.output_limit
        return (limit + self.predicted_bytes) * self.answers


def size_of(call: Call, targets: Sequence[Target] = ()) -> Size:
    """What `call`, which may go to any of `targets`, asks for; nothing of one that only asks how large it would be."""
    if call.endpoint.operation == COUNT_TOKENS:
        return Size(has_output=False)
    body = call.body
    size = Size(has_output=call.endpoint.operation not in _OPERATIONS_WITHOUT_OUTPUT)
    for name, value in body.items():
        if name in _NO_INPUT:
            continue
        tokens = _count_token_ids(value) if name in _TOKENIZED else None
        if tokens is not None:
            size.text_bytes += tokens
        elif name in _CONTENT:
            size.add_messages(value)
        elif name in _DEFINITIONS:
            size.text_bytes += text_bytes(value)
        else:
            size.add_data(name, value)
    size.markup_tokens = _markup_tokens(body, size.tool_calls)
    _apply_members(call, size)
    if call.endpoint.operation == _RERANK:
        _apply_ranking(body, size)
    elif size.has_output:
        _apply_targets(targets, size)
    return size


def _markup_tokens(body: JsonObject, tool_calls: int) -> int:
    """The most that is written around messages, tools and the form of an answer.

    Where a call lists no tools, but has `tool_calls` of earlier turns, it is sent with a tool for each.
    """
    messages = body.get("messages")
    tokens = TOKENS_PER_MESSAGE * (len(messages) + 1 if isinstance(messages, list) else 1)
    if body.get("tools") or body.get("functions"):
        tokens += TOKENS_PER_TOOLBOX + TOKENS_PER_DEFINED_TOOL * defined_tools(body.get("tools"))
    elif tool_calls:
        tokens += TOKENS_PER_TOOLBOX + TOKENS_PER_OWN_TOOL * tool_calls
    if not _FORMATS.isdisjoint(body):
        tokens += sum(map(_format_tokens, _formats(body)))
    return tokens


def _formats(body: JsonObject) -> list[Any]:
    """What `body` says of the form of its answer, in each of the words for it."""
    config = body.get("output_config")
    inner = config.get("format") if isinstance(config, dict) else None
    return [body.get("response_format"), body.get("output_format"), inner]


def _format_tokens(wanted: Any) -> int:
    """The most that a form of an answer takes: a tool with its schema may be sent, which the model must use."""
    if wanted is None or (isinstance(wanted, dict) and wanted.get("type") == "text"):
        return 0
    return TOKENS_PER_TOOLBOX + TOKENS_PER_OWN_TOOL + text_bytes(wanted)


def _apply_members(call: Call, size: Size) -> None:
    """Reads the answers that are asked for, and which member leaves open what they cost."""
    body = call.body
    wrong = ""
    if call.endpoint.format == _ANTHROPIC:
        size.output_limit = _count(body.get("max_tokens"))
    elif not _COUNTS.isdisjoint(body):
        size.output_limit = output_limit(body)
        wrong = _wrong_count(body)
    if call.endpoint.format != _ANTHROPIC and not _MULTIPLYING.isdisjoint(body):
        size.answers = _answers(body)
    if "prediction" in body:
        size.predicted_bytes = text_bytes(body["prediction"])
    tool = providers_tool(body["tools"]) if "tools" in body else ""
    size.unbounded = wrong or open_member(body) or tool or size.unbounded


def _apply_ranking(body: JsonObject, size: Size) -> None:
    """A model that ranks reads the query, images in it too, with each document; some are billed by the hundred."""
    documents = body.get("documents")
    count = len(documents) if isinstance(documents, list) else 1
    query, times = Content(), max(0, count - 1)
    query.add_data("query", body.get("query"))
    size.text_bytes += query.text_bytes * times
    size.media_bound += query.media_bound * times
    size.media_expected += query.media_expected * times
    size.searches = -(-(count + size.text_bytes // _BYTES_PER_DOCUMENT) // _DOCUMENTS_PER_SEARCH)


def _apply_targets(targets: Sequence[Target], size: Size) -> None:
    """Holds what the models search unasked; where nothing bounds that, it is the model that leaves the cost open."""
    for target in targets:
        searches = searches_of(target)
        if searches is None:
            size.unbounded = size.unbounded or "model"
        elif searches:
            size.searches = max(size.searches, searches * size.answers)


def output_limit(body: JsonObject) -> int | None:
    """The client's own limit on the tokens of one answer; which of two a provider goes by is not known."""
    most = 0
    for name in _OUTPUT_LIMITS:
        most = max(most, _count(body.get(name)) or 0)
    return most or None


def _answers(body: JsonObject) -> int:
    """How many answers are generated, shown or not: for each of several prompts its own."""
    answers = max(_count(body.get("n")) or 1, _count(body.get("best_of")) or 1)
    prompts = body.get("prompt")
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        answers *= len(prompts)
    return answers


def _count_token_ids(value: Any) -> int | None:
    """How many tokens a client has made itself, in one list or in several; None where it sends something else."""
    if not isinstance(value, list) or not value:
        return None
    lists = [value] if type(value[0]) is int else value
    if all(isinstance(ids, list) and ids and all(type(number) is int for number in ids) for ids in lists):
        return sum(map(len, lists))
    return None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _wrong_count(body: JsonObject) -> str:
    """A count that is neither one nor left open; "" where there is none."""
    for name in _COUNTS:
        value = body.get(name)
        if value is not None and _count(value) is None:
            return name
    return ""


class ModelLearning:
    """What calls of each model took, in integers. `key` names a model of a provider.

    The ratio of input tokens to bytes rises to what a call has, the output of an answer by half of what it has more;
    both fall by a 128th of what a call has less: high quantiles, by stochastic approximation (Robbins and Monro 1951).
    """

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], _Learned] = {}

    def expected(self, key: tuple[str, str], size: Size) -> tuple[int, int]:
        """Tokens of input, never above the bound of `size`, and of output, never above what the client allows."""
        known = self._learned.get(key, _NOTHING_LEARNED)
        tokens = -(-size.text_bytes * known.ratio_ppm // PARTS_PER_MILLION) + size.media_expected
        input_tokens = min(size.input_bound, tokens)
        if not size.has_output:
            return input_tokens, 0
        answer, limit = known.output_tokens, size.output_limit
        return input_tokens, size.answers * (answer if limit is None else min(answer, limit))

    def learn(self, key: tuple[str, str], size: Size, input_tokens: int, output_tokens: int) -> None:
        """Takes in what a provider reported of a call of `size`."""
        known = self._learned.get(key)
        if known is None:
            if len(self._learned) >= _LEARNED_MODELS:
                self._learned.clear()
            known = self._learned[key] = _Learned()
        if size.text_bytes and not size.media_expected:
            known.ratio_ppm = _moved(known.ratio_ppm, input_tokens * PARTS_PER_MILLION // size.text_bytes, _RATIO_RISE)
        if size.has_output:
            known.output_tokens = _moved(known.output_tokens, output_tokens // size.answers, _OUTPUT_RISE)


@dataclass(slots=True)
class _Learned:
    ratio_ppm: int = FIRST_RATIO_PPM
    output_tokens: int = FIRST_OUTPUT_TOKENS


_NOTHING_LEARNED: Final = _Learned()


def _moved(known: int, seen: int, rise: int) -> int:
    return known + -(-(seen - known) // rise) if seen > known else known - (known - seen) // _FALL
