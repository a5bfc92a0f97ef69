"""Token counts where the upstream reported none: from bytes, and never zero for what was generated."""

import re
from typing import Any

import orjson

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame
from tollway.kernel.usage import NO_USAGE, Usage

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_INLINE_FILE = 1000
_TEXT_KEYS = ("messages", "system", "prompt", "input", "tools", "functions", "query", "documents")
_OPERATIONS_WITHOUT_OUTPUT = frozenset(("embeddings", "rerank"))
_DATA_URL = re.compile(r"data:[^,\s]{0,128};base64,")


def usage_estimate(call: Call, text_bytes: int, deltas: int) -> Usage:
    """Estimated usage of `call`, of whose answer `text_bytes` of text in `deltas` pieces were seen."""
    output = output_tokens(text_bytes, deltas) if has_output(call) else 0
    return Usage(input=input_tokens(call.body), output=output)


def counted(call: Call) -> Frame:
    """The answer to how large `call` would be, where no upstream says it: an estimate."""
    answer = orjson.dumps({"input_tokens": input_tokens(call.body)})
    return Frame(answer, usage=NO_USAGE, format=call.endpoint.format)


def has_output(call: Call) -> bool:
    """Whether what `call` asks for is made of tokens."""
    return call.endpoint.operation not in _OPERATIONS_WITHOUT_OUTPUT


def input_tokens(body: JsonObject) -> int:
    """Estimated tokens of a request: a token per four bytes of its text, and four per message."""
    messages = body.get("messages")
    per_message = TOKENS_PER_MESSAGE * len(messages) if isinstance(messages, list) else 0
    size = sum(_text_bytes(body[key]) for key in _TEXT_KEYS if key in body)
    return max(1, -(-size // BYTES_PER_TOKEN) + per_message)


def output_tokens(text_bytes: int, deltas: int) -> int:
    """Estimated tokens of what was generated: no fewer than its pieces, and one piece more that was under way."""
    return max(deltas, -(-text_bytes // BYTES_PER_TOKEN)) + 1


def _text_bytes(value: Any) -> int:
    """UTF-8 bytes of all strings in a JSON value; a number counts as a token, an inline file as one of fixed size."""
    pending, size = [value], 0
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            size += _string_bytes(item)
        elif isinstance(item, dict):
            if "input_audio" in item or "file_data" in item or "source" in item:
                files = _inline_files(item)
                size += len(files) * TOKENS_PER_INLINE_FILE * BYTES_PER_TOKEN
                pending.extend(child for name, child in item.items() if name not in files)
            else:
                pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, int) and not isinstance(item, bool):
            size += BYTES_PER_TOKEN
    return size


def _string_bytes(text: str) -> int:
    if text.startswith("data:") and _DATA_URL.match(text) is not None:
        return TOKENS_PER_INLINE_FILE * BYTES_PER_TOKEN
    return len(text) if text.isascii() else len(text.encode())


def _inline_files(item: JsonObject) -> tuple[str, ...]:
    """The members of a content part, or of the file in one, that hold a file."""
    sound = item.get("input_audio")
    has_sound = isinstance(sound, dict) and isinstance(sound.get("data"), str)
    has_file = isinstance(item.get("file_data"), str)
    source = item.get("source")
    has_source = isinstance(source, dict) and isinstance(source.get("data"), str) and source.get("type") == "base64"
    return ("input_audio",) * has_sound + ("file_data",) * has_file + ("source",) * has_source
