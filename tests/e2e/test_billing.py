"""The ledger against the provider's own counts: under plain load, and while the control plane is killed."""

import asyncio
import secrets

from tests.e2e.stack import Admin, Stack
from tests.e2e.traffic import Tally, ledger_equals_truth, send_mixed


async def _make_teams(admin: Admin) -> dict[str, str]:
    mark = secrets.token_hex(3)
    return {team: await admin.create_team(team) for team in (f"a-{mark}", f"b-{mark}", f"c-{mark}")}


async def test_ten_thousand_mixed_calls_are_billed_exactly(stack: Stack, admin: Admin) -> None:
    keys = await _make_teams(admin)
    tally = await send_mixed(_url(stack), keys, 10_000, seed=1)
    assert tally == Tally({200: 10_000})
    await ledger_equals_truth(stack, admin, sorted(keys), within_s=5)


async def test_a_control_plane_killed_under_load_is_back_and_nothing_is_lost(stack: Stack, admin: Admin) -> None:
    keys = await _make_teams(admin)
    load = asyncio.create_task(send_mixed(_url(stack), keys, 4000, seed=2))
    for _ in range(3):
        await asyncio.sleep(0.7)
        pid = stack.kill("controlplane")
        await stack.restarted("controlplane", pid)
    assert await load == Tally({200: 4000})
    again = await send_mixed(_url(stack), keys, 200, seed=3)
    assert again == Tally({200: 200})
    await ledger_equals_truth(stack, admin, sorted(keys), within_s=30)


def _url(stack: Stack) -> str:
    return str(stack.info["openai_base_url"]).removesuffix("/v1")
