"""A call that is longer than a model's context is told alike, whichever provider says so and however."""

import json
import time
import timeit
from typing import Any

import pytest

from dataplane.dialects.hub import is_context_too_long
from dataplane.dialects.openai.errors import parse_error, parse_error_object
from dataplane.errors import UpstreamErrorKind

BODY_TOO_LARGE = "Request body too large for gpt-4o model. Max size: 8000 tokens."
TOO_LONG = [
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
    "'max_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request has 10 input",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000",
    "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000",
    "the request exceeds the available context size, try increasing it",
    "prompt too long; exceeded max context length by 5 tokens",
    "The prompt is too long: 250000, model maximum context length: 131071",
    "input length and `max_tokens` exceed context limit: 1 + 2 > 3",
    "prompt + max_tokens is 300000 > 200000, the context window of the model",
    "Error code: context_length_exceeded",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
    "Input is too long for requested model.",
    "too many tokens: total number of tokens in the prompt cannot exceed 128000",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "prompt token count of 100000 exceeds the limit of 90000",
    "Invalid 'input[0]': maximum input length is 8192 tokens.",
    "invalid params, context window exceeds limit (2013)",
    "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)",
    "the model is loaded with context length of only 4096 tokens, which is not enough.",
    "The example at index 0 has too many tokens and does not fit into the model's context window of 32000 tokens.",
    "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]",
    "Prompt exceeds max length",
    "the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model",
    BODY_TOO_LARGE,
]
OTHERS = [
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
    "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens",
    "The maximum tokens you requested exceeds the model limit of 4096.",
    "max_tokens exceeds the maximum number of tokens allowed for output",
    "The output token count exceeds what is allowed",
    "too many tokens: max tokens must be less than 4096",
    "The long context beta is not yet available for this subscription.",
    "context_length must be an integer",
    "The value at messages.0 is too long",
    "Invalid 'user': string too long. Expected a string with maximum length 64",
    "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000",
    "Payload exceeds maximum input size of 20MB",
    "image exceeds maximum input size of 8000x8000 pixels",
    "Audio file is too long. Maximum input length is 1500 seconds",
    "Invalid value: input too long for field 'user'. Expected at most 64 characters.",
    "Audio input is too long; must be shorter than 25 minutes",
    "Stop sequence input is too long",
    "prompt is too long. Maximum 4000 characters",
    "Request exceeds the maximum number of tokens per minute",
    "Maximum context window size parameter 'num_ctx' not supported",
    "Invalid 'context_window': must be larger than 0. The context_window is wrong",
    "Thinking token count 50000 exceeds the max thinking budget of 24576",
    "",
]
PIECES = [
    *("exceed", "exceeds ", "beyond ", "larger than ", "too long for ", ">", "> ", "not fit in ", "context length "),
    *("token count", "input token count ", "prompt ", "the input ", "input is too long ", "request ", "`inputs`"),
    *("number of input tokens 1", "max input size ", "maximum context size ", "prompt exceeds max length "),
    *("request body too large for ", "request body too large for model "),
]


@pytest.mark.parametrize(("messages", "is_too_long"), [(TOO_LONG, True), (OTHERS, False)])
def test_words_about_the_context_are_known_from_words_about_other_limits(
    messages: list[str], is_too_long: bool
) -> None:
    assert [message for message in messages if is_context_too_long(message) is not is_too_long] == []


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (400, {"object": "error", "message": TOO_LONG[0], "type": "BadRequestError", "param": None, "code": 400}),
        (400, {"error": {"message": TOO_LONG[0], "type": "BadRequestError", "param": None, "code": 400}}),
        (400, {"object": "error", "message": TOO_LONG[3], "type": "invalid_request_error", "code": "3051"}),
        (400, {"code": "invalid-argument", "error": TOO_LONG[4]}),
        (400, {"error": {"message": TOO_LONG[0], "type": "x", "param": None, "code": "invalid_request_error"}}),
        (422, {"error": TOO_LONG[5], "error_type": "validation"}),
        (400, {"error": {"code": 400, "message": "no", "type": "exceed_context_size_error", "n_ctx": 512}}),
        (400, {"error": {"message": "no", "type": None, "code": "context_length_exceeded"}}),
        (400, {"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": TOO_LONG[9]}}}),
    ],
)
def test_call_that_is_too_long_is_told_as_openai_tells_it(status: int, payload: dict[str, Any]) -> None:
    for error in (parse_error(status, {}, json.dumps(payload).encode()), parse_error_object(payload)):
        assert error.kind is UpstreamErrorKind.INVALID
        assert (error.type, error.code) == ("invalid_request_error", "context_length_exceeded")


@pytest.mark.parametrize("piece", PIECES)
def test_long_words_are_judged_in_no_time(piece: str) -> None:
    words = (piece * 2000)[:2000]
    assert min(timeit.repeat(lambda: is_context_too_long(words), timer=time.process_time, number=1, repeat=5)) < 0.005


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "content_filter"),
        (400, "string_above_max_length"),
        (404, "model_not_found"),
        (404, None),
        (413, "request_too_large"),
        (413, None),
        (422, "rate"),
    ],
)
def test_words_count_for_nothing_where_status_or_code_say_something_else(status: int, code: str | None) -> None:
    error = {"message": TOO_LONG[0], "type": "t", "code": code}
    parsed = parse_error(status, {}, json.dumps({"error": error}).encode())
    assert (parsed.kind, parsed.type, parsed.code) == (UpstreamErrorKind.INVALID, "t", code)


@pytest.mark.parametrize(
    "code",
    [
        *(None, "", 3051, "3051", "invalid_request_error", "invalid-argument", "BadRequestError", "Bad Request"),
        *(
            "InvalidParameter",
            "context_window_exceeded",
            "model_max_prompt_tokens_exceeded",
            "Client specified an invalid argument",
            "validation_error",
        ),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_codes_that_say_nothing_leave_it_to_the_words(status: int, code: str | int | None) -> None:
    error = {"message": TOO_LONG[0], "code": code}
    assert parse_error(status, {}, json.dumps({"error": error}).encode()).code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (BODY_TOO_LARGE, "context_length_exceeded"),
        ("Request body too large. Max size: 8 MB", "tokens_limit_reached"),
    ],
)
def test_body_that_is_too_large_is_so_by_its_tokens_alone(message: str, code: str) -> None:
    error = {"message": message, "code": "tokens_limit_reached"}
    assert parse_error(413, {}, json.dumps({"error": error}).encode()).code == code


@pytest.mark.parametrize(("status", "message"), [(400, OTHERS[0]), (429, TOO_LONG[0]), (500, TOO_LONG[0])])
def test_other_refusals_and_failures_keep_type_and_code(status: int, message: str) -> None:
    body = {"error": {"message": message, "type": "t", "code": "c"}}
    error = parse_error(status, {}, json.dumps(body).encode())
    assert (error.type, error.code) == ("t", "c")
