"""Recorded sound of an answer, which OpenAI's format has as one piece of base64."""

import base64
import binascii

from dataplane.call import JsonObject


def join_sound(before: JsonObject | None, after: JsonObject) -> JsonObject:
    """`after` with the sound of `before` in front of its own; what is no base64 is left out."""
    if before is None:
        return after
    return after | {"data": base64.b64encode(_bytes(before["data"]) + _bytes(after["data"])).decode()}


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data)
    except (binascii.Error, ValueError):
        return b""
