"""Limits as official clients see them."""

import asyncio
import os
import secrets
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import Admin, Stack, eventually
from tests.e2e.test_sdks import PREVIOUS_OPENAI

BUDGET_USD = "0.000200"


async def _has_rules(admin: Admin, revision: int) -> bool:
    planes = (await admin.call("GET", "/v1/dataplanes"))["data_planes"]
    return any(plane["connected"] and plane["revision"] >= revision for plane in planes)


async def _make_limited_keys(admin: Admin) -> tuple[str, str]:
    """Keys of two teams: one with a strict budget worth few calls, one that may make a call in two seconds."""
    spender, racer = (f"{name}-{secrets.token_hex(3)}" for name in ("spender", "racer"))
    keys = await admin.create_team(spender), await admin.create_team(racer)
    budget = {"match": {"teams": [spender]}, "amount_usd": BUDGET_USD, "admission": "strict"}
    rate = {"match": {"teams": [racer]}, "limits": [{"unit": "requests", "amount": 1, "window": "2s"}]}
    applied = await admin.apply(
        {"kind": "Budget", "metadata": {"name": spender}, "spec": budget},
        {"kind": "RateLimit", "metadata": {"name": racer}, "spec": rate},
    )
    await eventually(lambda: _has_rules(admin, int(applied["revision"])), 10, "the data plane to have the rules")
    return keys


@pytest.mark.parametrize("which", ["newest", "previous"])
async def test_the_openai_package_sees_limits_as_its_own_errors(stack: Stack, admin: Admin, which: str) -> None:
    path = f"{PREVIOUS_OPENAI}{os.pathsep}{Path.cwd()}" if which == "previous" else str(Path.cwd())
    keys = await _make_limited_keys(admin)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.limit_checks", stack.info["openai_base_url"], *keys,
        env={**os.environ, "PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
