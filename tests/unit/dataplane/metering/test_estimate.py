"""Estimates of tokens from bytes."""

from typing import Any

import pytest

from dataplane.metering.estimate import TOKENS_PER_INLINE_FILE, TOKENS_PER_MESSAGE, input_tokens, output_tokens

BASE64 = "QUJD" * 100_000


@pytest.mark.parametrize(
    "part",
    [
        {"input_audio": {"data": BASE64, "format": "wav"}},
        {"file": {"file_data": BASE64}},
        {"file": {"file_data": f"data:application/pdf;base64,{BASE64}"}},
        {"file_data": BASE64},
        {"image_url": {"url": f"data:image/png;base64,{BASE64}"}},
        {"image_url": f"data:image/png;base64,{BASE64}"},
    ],
)
def test_inline_file_has_a_fixed_size(part: dict[str, Any]) -> None:
    tokens = input_tokens({"messages": [{"role": "user", "content": [part]}]})
    assert TOKENS_PER_INLINE_FILE <= tokens <= TOKENS_PER_INLINE_FILE + TOKENS_PER_MESSAGE + 10


@pytest.mark.parametrize("text", ["data: " + "x" * 40_000, "data:" + "x" * 40_000, '{"data": "' + "x" * 40_000])
def test_text_is_not_a_file(text: str) -> None:
    assert input_tokens({"prompt": text}) >= 10_000


def test_tool_that_is_named_like_a_file_counts_by_its_text() -> None:
    schema = {"properties": {"input_audio": {"description": "x" * 400}, "file_data": {"description": "x" * 400}}}
    assert 200 <= input_tokens({"tools": [schema]}) < TOKENS_PER_INLINE_FILE


@pytest.mark.parametrize(("body", "tokens"), [({}, 1), ({"input": [1, 2, 3]}, 3), ({"input": "abcde"}, 2)])
def test_input(body: dict[str, Any], tokens: int) -> None:
    assert input_tokens(body) == tokens


@pytest.mark.parametrize(("text_bytes", "deltas", "tokens"), [(0, 0, 1), (40, 3, 11), (4, 30, 31)])
def test_output(text_bytes: int, deltas: int, tokens: int) -> None:
    assert output_tokens(text_bytes, deltas) == tokens
