"""Official clients, unmodified: only base URL and key are ours."""

import asyncio
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from tests.e2e.stack import Stack

PREVIOUS_OPENAI = Path(sys.prefix) / "previous-openai"


@pytest.mark.parametrize("which", ["newest", "previous"])
async def test_openai_package(stack: Stack, which: str) -> None:
    path = f"{PREVIOUS_OPENAI}{os.pathsep}{Path.cwd()}" if which == "previous" else str(Path.cwd())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.sdk_checks", stack.info["openai_base_url"], stack.info["demo_key"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    major = int(output.split(b".")[0])
    newest = int(version("openai").split(".")[0])
    assert major == (newest if which == "newest" else newest - 1)


async def test_langchain(stack: Stack) -> None:
    key = SecretStr(stack.info["demo_key"])
    chat = ChatOpenAI(model="sim/echo", base_url=stack.info["openai_base_url"], api_key=key)
    answer = await chat.ainvoke("alpha beta")
    assert answer.content == "alpha beta"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 4
    pieces = [piece async for piece in chat.astream("alpha beta")]
    assert "".join(str(piece.content) for piece in pieces) == "alpha beta"
    embed = OpenAIEmbeddings(
        model="sim/embed", base_url=stack.info["openai_base_url"], api_key=key, check_embedding_ctx_length=False
    )
    assert len(await embed.aembed_query("alpha beta")) > 0
