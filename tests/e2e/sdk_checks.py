"""What an app does with the official openai package, run as a process of its own so that any version of it can be.

Usage: python -m tests.e2e.sdk_checks BASE_URL KEY. Exits 0 and prints the version when all holds.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import openai

MESSAGES: Any = [{"role": "user", "content": "alpha beta gamma"}]
WRONG_MESSAGES: Any = "not a list"
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def check_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim/echo", messages=MESSAGES)
    assert answer.choices[0].message.content == "alpha beta gamma"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 3)


def check_stream(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="sim/lorem-7", messages=MESSAGES, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) == 7
    assert all(chunk.choices for chunk in chunks), "usage was not asked for"
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"]


def check_stream_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="sim/lorem-7", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 7)


def check_tools(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim/tools", messages=MESSAGES, tools=TOOLS)
    assert answer.choices[0].finish_reason == "tool_calls"
    calls: Any = answer.choices[0].message.tool_calls
    assert calls[0].function.name == "get_weather"
    assert isinstance(json.loads(calls[0].function.arguments), dict)
    stream: Any = client.chat.completions.create(model="sim/tools", messages=MESSAGES, tools=TOOLS, stream=True)
    deltas = [call for chunk in stream for c in chunk.choices for call in c.delta.tool_calls or ()]
    assert deltas[0].function.name == "get_weather"
    assert isinstance(json.loads("".join(delta.function.arguments or "" for delta in deltas)), dict)


def check_completions(client: openai.OpenAI) -> None:
    assert client.completions.create(model="sim/echo", prompt="one two").choices[0].text.split() == ["one", "two"]
    stream = client.completions.create(model="sim/echo", prompt="one two", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices).split() == ["one", "two"]


def check_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="sim/embed", input=["one two", "three"])
    assert [item.index for item in answer.data] == [0, 1]
    assert len(answer.data[0].embedding) > 0
    assert isinstance(answer.data[0].embedding[0], float)
    plain = client.embeddings.create(model="sim/embed", input="one two", encoding_format="float", dimensions=8)
    assert len(plain.data[0].embedding) == 8
    assert plain.usage.prompt_tokens == 2


def check_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "sim/echo" in names
    assert client.models.retrieve("sim/echo").id == "sim/echo"


def check_raw(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="sim/echo", messages=MESSAGES, extra_body={"x_unknown": {"kept": [1, 2.5, None]}}
    )
    assert raw.headers["x-tollway-upstream"] == "sim"
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.parse().choices[0].message.content == "alpha beta gamma"


def check_errors(client: openai.OpenAI) -> None:
    stranger = openai.OpenAI(base_url=client.base_url, api_key="sk-not-ours", max_retries=0)
    expect(openai.AuthenticationError, lambda: stranger.models.list(), "invalid_api_key")
    ask = client.chat.completions.create
    expect(openai.NotFoundError, lambda: ask(model="nowhere", messages=MESSAGES), "model_not_found")
    expect(openai.BadRequestError, lambda: ask(model="sim/echo", messages=WRONG_MESSAGES), None)
    expect(openai.RateLimitError, lambda: ask(model="sim/status-429", messages=MESSAGES), "upstream_rate_limited")
    expect(openai.InternalServerError, lambda: ask(model="sim/status-500", messages=MESSAGES), "upstream_error")
    expect(openai.UnprocessableEntityError, lambda: ask(model="sim/status-422", messages=MESSAGES), None)
    stream = ask(model="sim/cutoff-3", messages=MESSAGES, stream=True)
    expect(openai.APIError, lambda: list(stream), "upstream_error")


def expect(kind: type[openai.APIError], act: Callable[[], object], code: str | None) -> None:
    try:
        act()
    except kind as error:
        assert code is None or error.code == code, (error.code, code)
        assert error.message
        return
    raise AssertionError(f"no {kind.__name__}")


async def check_async(base_url: str, key: str) -> None:
    client = openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0)
    answers = await asyncio.gather(
        *(client.chat.completions.create(model="sim/echo", messages=MESSAGES) for _ in range(8))
    )
    assert {answer.choices[0].message.content for answer in answers} == {"alpha beta gamma"}
    stream = await client.chat.completions.create(model="sim/lorem-5", messages=MESSAGES, stream=True)
    words = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert len(words.split()) == 5
    await client.close()


def main(base_url: str, key: str) -> None:
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    for check in (
        check_answer,
        check_stream,
        check_stream_usage,
        check_tools,
        check_completions,
        check_embeddings,
        check_models,
        check_raw,
        check_errors,
    ):
        check(client)
    asyncio.run(check_async(base_url, key))
    print(openai.__version__)


if __name__ == "__main__":
    main(*sys.argv[1:])
