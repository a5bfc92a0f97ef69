"""Official clients, unmodified, at targets whose provider speaks another format than they do.

They take seconds to import, and every process that runs tests imports this module: each test imports its own.
"""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.stack import Admin, Stack, eventually
from tests.fakes.replayer import Exchange, Replayer
from tests.golden.recordings import FOLDER, Recording, read_recording

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

CALLS = {
    "anthropic": "anthropic-messages-e12d3dd258f8",
    "google-ai-studio": "gemini-streamGenerateContent-fa21fa376840",
    "bedrock": "bedrock-converse_stream-e3af453fd5e8",
    "cohere": "cohere-chat_v2-b10f36887f30",
}
"""Recorded streams that call several tools at once, by provider."""
THINKS = "anthropic-messages-b20b72064ca9"
RERANKS = "cohere-rerank_v2-4891b364f3f2"
QUESTION: Any = [{"role": "user", "content": "what is the weather?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.fixture
async def replayer() -> AsyncIterator[Replayer]:
    running = Replayer()
    await running.start()
    yield running
    await running.stop()


def recording_of(recording_id: str) -> Recording:
    (path,) = FOLDER.glob(f"*/{recording_id}.json")
    return read_recording(path)


async def upstream_of(stack: Stack, admin: Admin, replayer: Replayer, provider: str, recording_id: str) -> str:
    """The model of a new upstream of `provider` that answers as recorded; it is in force on the data plane."""
    recording, name = recording_of(recording_id), f"{provider}-{recording_id[-6:]}"
    base_url = replayer.lay(name, Exchange(recording.status, recording.headers, recording.body))
    secret = {"value": "ABSK-recorded"}
    spec = {"provider": provider, "base_url": base_url, "region": "us-east-1", "secret": secret, "models": ["m"]}
    await admin.call("POST", f"/v1/upstreams?upstream_id={name}", spec)

    async def is_listed() -> bool:
        return f"{name}/m" in [model.id async for model in openai_client(stack).models.list()]

    await eventually(is_listed, 10, f"the data plane to list {name}")
    return f"{name}/m"


def anthropic_client(stack: Stack) -> "AsyncAnthropic":
    from anthropic import AsyncAnthropic

    base_url = stack.info["openai_base_url"].removesuffix("/v1")
    return AsyncAnthropic(base_url=base_url, api_key=stack.info["demo_key"], max_retries=4)


def openai_client(stack: Stack) -> "AsyncOpenAI":
    from openai import AsyncOpenAI

    return AsyncOpenAI(base_url=stack.info["openai_base_url"], api_key=stack.info["demo_key"], max_retries=4)


async def test_anthropic_package_at_a_provider_of_openais_format(stack: Stack) -> None:
    from anthropic import APIStatusError

    client = anthropic_client(stack)
    asked: Any = {"max_tokens": 50, "system": "be brief", "messages": QUESTION}
    answer = await client.messages.create(model="sim/lorem-7", **asked)
    (block,) = answer.content
    assert block.type == "text"
    assert (len(block.text.split()), answer.stop_reason, answer.usage.output_tokens) == (7, "end_turn", 7)
    async with client.messages.stream(model="sim/lorem-7", **asked) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == block.text
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 7)
    assert (await client.messages.count_tokens(model="sim/echo", messages=QUESTION)).input_tokens > 0
    for model, status, kind in (("nowhere", 404, "not_found_error"), ("sim/status-400", 400, "invalid_request_error")):
        with pytest.raises(APIStatusError) as refused:
            await client.messages.create(model=model, **asked)
        body: Any = refused.value.body
        assert (refused.value.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)


async def test_anthropic_package_in_a_tool_loop(stack: Stack) -> None:
    client = anthropic_client(stack)
    asked: Any = {"max_tokens": 50, "tools": [{"name": "get_weather", "input_schema": SCHEMA}]}
    async with client.messages.stream(model="sim/tools", messages=QUESTION, **asked) as stream:
        called = await stream.get_final_message()
    (use,) = called.content
    assert use.type == "tool_use"
    assert (called.stop_reason, use.name, isinstance(use.input, dict)) == ("tool_use", "get_weather", True)
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    turns: Any = [*QUESTION, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    answer = await client.messages.create(model="sim/tools", messages=turns, **asked)
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize("provider", CALLS)
async def test_packages_stream_parallel_tool_calls(
    stack: Stack, admin: Admin, replayer: Replayer, provider: str
) -> None:
    """Both packages' own helpers gather the same calls, with arguments that are JSON."""
    model = await upstream_of(stack, admin, replayer, provider, CALLS[provider])
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    calls: dict[int, dict[str, str]] = {}
    finishes = []
    stream = await openai_client(stack).chat.completions.create(
        model=model, messages=QUESTION, tools=tools, stream=True
    )
    async for chunk in stream:
        for choice in chunk.choices:
            finishes += [choice.finish_reason] if choice.finish_reason else []
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, {"name": "", "arguments": ""})
                assert call.function is not None
                known["name"] += call.function.name or ""
                known["arguments"] += call.function.arguments or ""
    assert finishes == ["tool_calls"]
    wanted: Any = [{"name": "get_weather", "input_schema": SCHEMA}]
    async with anthropic_client(stack).messages.stream(
        model=model, max_tokens=99, messages=QUESTION, tools=wanted
    ) as events:
        final = await events.get_final_message()
    uses = [(block.name, block.input) for block in final.content if block.type == "tool_use"]
    assert uses == [(call["name"], json.loads(call["arguments"])) for _, call in sorted(calls.items())]
    assert len(uses) > 1


async def test_thinking_reaches_both_packages(stack: Stack, admin: Admin, replayer: Replayer) -> None:
    model = await upstream_of(stack, admin, replayer, "anthropic", THINKS)
    own: Any = await anthropic_client(stack).messages.create(model=model, max_tokens=2_000, messages=QUESTION)
    (thought,) = [block for block in own.content if block.type == "thinking"]
    answer: Any = await openai_client(stack).chat.completions.create(model=model, messages=QUESTION)
    message = answer.choices[0].message
    assert message.reasoning_content == thought.thinking
    assert message.reasoning_details[0]["signature"] == thought.signature


async def test_cohere_package_reranks(stack: Stack, admin: Admin, replayer: Replayer) -> None:
    import cohere

    model = await upstream_of(stack, admin, replayer, "cohere", RERANKS)
    base_url = stack.info["openai_base_url"].removesuffix("/v1")
    client = cohere.AsyncClientV2(api_key=stack.info["demo_key"], base_url=base_url)
    ranked = await client.rerank(model=model, query="capital", documents=["a", "b", "c", "d", "e"], top_n=3)
    told = json.loads(recording_of(RERANKS).body)["results"]
    assert [(r.index, r.relevance_score) for r in ranked.results] == [(r["index"], r["relevance_score"]) for r in told]


async def test_langchain_speaks_anthropics_format(stack: Stack) -> None:
    from langchain_anthropic import ChatAnthropic
    from langchain_core.tools import tool
    from pydantic import SecretStr

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    base_url = stack.info["openai_base_url"].removesuffix("/v1")
    chat: Any = ChatAnthropic(model="sim/tools", base_url=base_url, api_key=SecretStr(stack.info["demo_key"]))  # type: ignore[call-arg]
    called = await chat.bind_tools([get_weather]).ainvoke("what is the weather?")
    assert [call["name"] for call in called.tool_calls] == ["get_weather"]
    assert called.usage_metadata["output_tokens"] > 0
    pieces = [piece async for piece in chat.astream("hello")]
    assert "".join(str(piece.text) for piece in pieces)


@pytest.mark.parametrize("speaks", ["anthropic", "openai"])
async def test_pydantic_ai_runs_tools_to_an_answer(stack: Stack, speaks: str) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    model: Any = (
        AnthropicModel("sim/tools", provider=AnthropicProvider(anthropic_client=anthropic_client(stack)))
        if speaks == "anthropic"
        else OpenAIChatModel("sim/tools", provider=OpenAIProvider(openai_client=openai_client(stack)))
    )
    agent: Any = Agent(model)
    asked: list[str] = []

    @agent.tool_plain  # type: ignore[untyped-decorator]
    def get_weather(city: str) -> str:
        asked.append(city)
        return "sunny"

    answer = await agent.run("what is the weather?")
    assert len(asked) == 1
    assert answer.output
