"""Vectors: unit length, the same for the same text, unlike for others."""

import base64
import hashlib
import math
import struct
from typing import Any

import orjson

from tollctl.sim.asks import EmbeddingAsk


def make_vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 with `dimensions` numbers."""
    noise = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    raw = [number - 32_767.5 for number in struct.unpack(f"<{dimensions}H", noise)]
    length = math.sqrt(sum(number * number for number in raw))
    return [number / length for number in raw]


def render_embeddings(ask: EmbeddingAsk) -> bytes:
    """The body of an answer of /v1/embeddings."""
    data = [
        {"object": "embedding", "index": index, "embedding": _encode(make_vector(text, ask.dimensions), ask.is_base64)}
        for index, text in enumerate(ask.texts)
    ]
    usage = {"prompt_tokens": ask.input_tokens, "total_tokens": ask.input_tokens}
    return orjson.dumps({"object": "list", "data": data, "model": ask.model.name, "usage": usage})


def _encode(vector: list[float], is_base64: bool) -> Any:
    """Base64 is over the numbers as little-endian float32, as OpenAI sends them."""
    if not is_base64:
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
