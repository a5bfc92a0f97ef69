"""How many tokens a call will take: an upper bound, and what such calls took before. Pure, and never a tokenizer.

A byte-level tokenizer makes at most one token of a byte (Sennrich et al. 2016; Radford et al. 2019), so that the bytes
of all text bound the tokens of it. What a model makes of images, sound and files is bounded by what is published.
"""

from dataclasses import dataclass
from typing import Any, Final

from dataplane.call import COUNT_TOKENS, Call, JsonObject

TOKENS_PER_MESSAGE: Final = 16
"""Markup around a message, and around the whole conversation."""
TOKENS_PER_TOOLBOX: Final = 512
"""What a provider writes around the definitions of tools."""
IMAGE_BOUND: Final = 48_169
"""The dearest image that is published: gpt-4o-mini in high detail, 2833 + 8 x 5667 tokens."""
IMAGE_EXPECTED: Final = 1_000
SOUND_BYTES_BOUND: Final = 64
"""Bytes of a token of sound: ten tokens a second, of at least 750 bytes a second."""
SOUND_BYTES_EXPECTED: Final = 400
PARTS_PER_MILLION: Final = 1_000_000
FIRST_RATIO_PPM: Final = 330_000
FIRST_OUTPUT_TOKENS: Final = 256
_MOST_BYTES_OF_A_TOKEN: Final = 8
_NO_INPUT: Final = frozenset(("model", "metadata", "user", "stream_options", "service_tier"))
_TOOLS: Final = frozenset(("tools", "functions"))
_ENTRY_BYTES: Final = 12
_NUMBER_BYTES: Final = 24
_TOKENIZED: Final = frozenset(("prompt", "input"))
_CONTENT: Final = frozenset(("messages", "input"))
_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_COUNTS: Final = frozenset((*_OUTPUT_LIMITS, "n", "best_of"))
_UNBOUNDED_PARTS: Final = frozenset(("file", "input_file", "video_url", "input_video"))
"""Types of content whose tokens follow from neither their bytes nor anything that is published."""
_TEXT_SOURCES: Final = frozenset(("text", "content"))
_DATA: Final = "data:"
_IMAGE_DATA: Final = "data:image/"
_BUCKET: Final = "gs://"
_NO_IMAGES: Final = (".pdf", ".mp4", ".mov", ".webm", ".mpeg", ".mp3", ".wav")
_PROVIDERS_TOOLS: Final = frozenset(
    (
        *("googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval", "googleMaps"),
        *("codeExecution", "code_execution", "urlContext", "url_context", "fileSearch", "retrieval", "computerUse"),
        "systemTool",
    )
)
_UNBOUNDED_FIELDS: Final = frozenset(
    (
        *("cached_content", "cachedContent", "container", "context_management", "fallbacks", "mcp_servers"),
        *("web_search_options", "performanceConfig", "performance_config", "speed"),
    )
)
"""Members by which a provider reads, runs or charges more than what the call says."""
_CLIENTS_TOOLS: Final = ("bash_", "text_editor_", "computer_", "memory_")
_ANTHROPIC: Final = "anthropic"
_RERANK: Final = "rerank"
_DOCUMENTS_PER_SEARCH: Final = 100
_BYTES_PER_DOCUMENT: Final = 510
"""Rerankers take a document of more tokens apart, and count each part."""
_OPERATIONS_WITHOUT_OUTPUT: Final = frozenset(("embeddings", _RERANK))
_SHOWN_TYPE: Final = 64
_SHOWN_URL: Final = 2048
_LEARNED_MODELS: Final = 4_096
_RATIO_RISE, _OUTPUT_RISE, _FALL = 1, 2, 128


@dataclass(slots=True)
class Size:
    """What a call asks for. `text_bytes` are those of all that is made into input tokens, but for images and sound.

    `markup_tokens` are the most that a provider adds. `answers` are asked for, each of at most `output_limit` tokens;
    None where the client set no limit. `predicted_bytes` are those of a predicted answer, which is billed as output
    where it does not come true. `searches` are the most that a ranking is billed for. `unbounded` names a part of the
    body that nothing bounds; "" where there is none.
    """

    text_bytes: int = 0
    markup_tokens: int = 0
    media_bound: int = 0
    media_expected: int = 0
    answers: int = 1
    output_limit: int | None = None
    has_output: bool = True
    predicted_bytes: int = 0
    searches: int = 0
    unbounded: str = ""

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


def size_of(call: Call) -> Size:
    """What `call` asks for, read from its body; nothing of one that only asks how large it would be."""
    if call.endpoint.operation == COUNT_TOKENS:
        return Size(has_output=False)
    body = call.body
    size = Size(has_output=call.endpoint.operation not in _OPERATIONS_WITHOUT_OUTPUT)
    messages = body.get("messages")
    size.markup_tokens = TOKENS_PER_MESSAGE * (len(messages) + 1 if isinstance(messages, list) else 1)
    if not _TOOLS.isdisjoint(body):
        size.markup_tokens += TOKENS_PER_TOOLBOX
        size.unbounded = _providers_tool(body.get("tools"))
    if not _UNBOUNDED_FIELDS.isdisjoint(body):
        size.unbounded = next(name for name in body if name in _UNBOUNDED_FIELDS)
    if call.endpoint.format == _ANTHROPIC:
        size.output_limit = _count(body.get("max_tokens"))
    elif not _COUNTS.isdisjoint(body):
        size.output_limit = output_limit(body)
        wrong = [name for name in body if name in _COUNTS and not _is_count(body[name])]
        size.unbounded = wrong[0] if wrong else size.unbounded
    if call.endpoint.format != _ANTHROPIC:
        size.answers = _answers(body)
    for name, value in body.items():
        if name in _NO_INPUT:
            continue
        tokens = _count_token_ids(value) if name in _TOKENIZED else None
        if tokens is None:
            _measure(value, size, has_media=name in _CONTENT)
        else:
            size.text_bytes += tokens
    if "prediction" in body:
        predicted = Size()
        _measure(body["prediction"], predicted, has_media=False)
        size.predicted_bytes = predicted.text_bytes
    if call.endpoint.operation == _RERANK:
        _measure_ranking(body, size)
    return size


def _measure_ranking(body: JsonObject, size: Size) -> None:
    """A model that ranks reads the query with each document; some are billed by the hundred of them."""
    documents, query = body.get("documents"), Size()
    count = len(documents) if isinstance(documents, list) else 1
    _measure(body.get("query"), query, has_media=False)
    size.text_bytes += query.text_bytes * max(0, count - 1)
    size.searches = -(-(count + size.text_bytes // _BYTES_PER_DOCUMENT) // _DOCUMENTS_PER_SEARCH)


def _providers_tool(tools: Any) -> str:
    """The type of a tool that the provider runs itself, and charges for; "" where there is none."""
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        kind = tool.get("type")
        if kind is None and not _PROVIDERS_TOOLS.isdisjoint(tool):
            return "tools"
        is_clients = kind in (None, "function", "custom") or str(kind).startswith(_CLIENTS_TOOLS)
        if not is_clients:
            return str(kind)[:_SHOWN_TYPE]
    return ""


def output_limit(body: JsonObject) -> int | None:
    """The client's own limit on the tokens of one answer; which of two a provider goes by is not known."""
    limits = [_count(body.get(name)) for name in _OUTPUT_LIMITS]
    said = [limit for limit in limits if limit is not None]
    return max(said) if said else None


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


def _is_count(value: Any) -> bool:
    """Whether a count is one or is left open."""
    return value is None or _count(value) is not None


def _measure(value: Any, size: Size, *, has_media: bool) -> None:
    """Adds to `size` what `value` holds, at any depth; whether images and sound are seen as such there."""
    pending = [value]
    text_bytes = 0
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            text_bytes += len(item) if item.isascii() else _bytes_of(item)
        elif isinstance(item, dict):
            text_bytes += _ENTRY_BYTES * len(item)
            part = item.get("type") if has_media else None
            if isinstance(part, str) and _is_unbounded(part, item):
                size.unbounded = size.unbounded or str(part)
            for name, member in item.items():
                text_bytes += len(name) if name.isascii() else _bytes_of(name)
                if (name == part or name == "source") and _is_media(part, name, member, size):
                    continue
                if isinstance(member, str) and member.isascii():
                    text_bytes += len(member)
                else:
                    pending.append(member)
        elif isinstance(item, list):
            text_bytes += _ENTRY_BYTES * len(item)
            pending.extend(item)
        elif isinstance(item, int | float):
            text_bytes += _NUMBER_BYTES
    size.text_bytes += text_bytes


def _bytes_of(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _is_unbounded(part: str, item: JsonObject) -> bool:
    """Whether a part of this type holds, or names, what may be any number of tokens."""
    if part == "document":
        source = item.get("source")
        return not isinstance(source, dict) or source.get("type") not in _TEXT_SOURCES
    if part == "image_url":
        url = item["image_url"].get("url") if isinstance(item.get("image_url"), dict) else item.get("image_url")
        return isinstance(url, str) and _is_other_than_image(url)
    return part in _UNBOUNDED_PARTS


def _is_other_than_image(url: str) -> bool:
    if url.startswith(_DATA):
        return not url.startswith(_IMAGE_DATA)
    return url.startswith(_BUCKET) or url[:_SHOWN_URL].partition("?")[0].lower().endswith(_NO_IMAGES)


def _is_media(part: Any, name: str, value: Any, size: Size) -> bool:
    """Whether a member of an object is an image or sound, which is then added to `size`."""
    if name == "source":
        if part == "image" and isinstance(value, dict):
            size.media_bound += IMAGE_BOUND
            size.media_expected += IMAGE_EXPECTED
            return True
        if part == "document" and isinstance(value, dict) and value.get("type") not in _TEXT_SOURCES:
            size.media_expected += IMAGE_EXPECTED
            return True
        return False
    if name == "image_url" and isinstance(value.get("url") if isinstance(value, dict) else value, str):
        size.media_bound += IMAGE_BOUND
        size.media_expected += IMAGE_EXPECTED
        return True
    if name == "input_audio" and isinstance(value, dict) and isinstance(value.get("data"), str):
        sound_bytes = len(value["data"]) * 3 // 4
        size.media_bound += -(-sound_bytes // SOUND_BYTES_BOUND)
        size.media_expected += -(-sound_bytes // SOUND_BYTES_EXPECTED)
        return True
    return False


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
