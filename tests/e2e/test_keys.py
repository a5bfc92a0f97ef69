"""Revoked keys are refused and new ones accepted within a second, while calls go on."""

import asyncio
import time
from contextlib import suppress

import aiohttp
import pytest

from tests.e2e.stack import Admin, Stack, eventually

KEYS, POLLED_KEYS = 50, 15
ECHO = {"model": "sim/echo", "messages": [{"role": "user", "content": "x"}]}


async def _status(session: aiohttp.ClientSession, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    async with session.post("/v1/chat/completions", json=ECHO, headers=headers) as response:
        await response.read()
        return response.status


async def _last_accepted_s(session: aiohttp.ClientSession, key: str, revoked: asyncio.Event) -> float:
    """When the last call that `key` was accepted for had begun; calls go on until one is refused after `revoked`.

    From `revoked` on they are close together, as then it matters which is the last.
    """
    last_s = 0.0
    while True:
        began_s = time.monotonic()
        was_revoked = revoked.is_set()
        if await _status(session, key) == 200:
            last_s = began_s
        elif was_revoked:
            return last_s
        await (asyncio.sleep(0.01) if was_revoked else _wait(revoked, 0.4))


async def _wait(event: asyncio.Event, longest_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await event.wait()


async def check_revocations(stack: Stack, admin: Admin, team: str, keys: int, bound_s: float) -> None:
    """Revokes `keys` keys under load and asserts that none is accepted later than `bound_s` after the answer."""
    await admin.call("POST", f"/v1/teams?team_id={team}", {})
    secrets = {f"k{n}": await admin.create_key(team, f"k{n}") for n in range(keys)}
    base_url = str(stack.info["openai_base_url"]).removesuffix("/v1")
    async with aiohttp.ClientSession(base_url) as session:

        async def works(key: str) -> bool:
            return await _status(session, key) == 200

        for key in secrets.values():
            await eventually(lambda key=key: works(key), 1.5, "a new key to work")  # type: ignore[misc]
        events = {name: asyncio.Event() for name in secrets}
        watchers = {
            name: asyncio.create_task(_last_accepted_s(session, key, events[name])) for name, key in secrets.items()
        }
        late = []
        for name in secrets:
            await admin.call("POST", f"/v1/teams/{team}/keys/{name}:revoke", {})
            answered_s = time.monotonic()
            events[name].set()
            late.append(await watchers[name] - answered_s)
    assert max(late) <= bound_s, f"accepted {max(late):.3f} s after the revocation was answered"


async def test_revoked_keys_are_refused_within_a_second(stack: Stack, admin: Admin) -> None:
    await check_revocations(stack, admin, "revoked", KEYS, 1.0)


@pytest.mark.timeout(240)
async def test_revoked_keys_are_refused_without_notify(tmp_path_factory: pytest.TempPathFactory) -> None:
    running = Stack(tmp_path_factory.mktemp("poll"), environment={"TOLLWAY_CONFIG_NOTIFY": "0"})
    await running.start()
    api = Admin(running)
    try:
        await check_revocations(running, api, "revoked", POLLED_KEYS, 1.3)
    finally:
        await api.close()
        await running.stop()


async def test_rotation_keeps_the_old_secret_for_the_overlap(stack: Stack, admin: Admin) -> None:
    old = await admin.create_team("rotated")
    new = (await admin.call("POST", "/v1/teams/rotated/keys/k:rotate", {}))["secret"]
    last = None
    base_url = str(stack.info["openai_base_url"]).removesuffix("/v1")
    async with aiohttp.ClientSession(base_url) as session:

        async def works(key: str) -> bool:
            return await _status(session, key) == 200

        await eventually(lambda: works(new), 1.5, "the new secret to work")
        assert await works(old)
        last = (await admin.call("POST", "/v1/teams/rotated/keys/k:rotate", {"overlap": "0s"}))["secret"]
        await eventually(lambda: works(last), 1.5, "the last secret to work")
        assert not await works(new)
