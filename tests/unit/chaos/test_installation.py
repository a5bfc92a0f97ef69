"""Faults that somebody gives as commands."""

import random
from pathlib import Path

import pytest

from tests.chaos.installation import command_fault
from tests.chaos.nemesis import strike_all
from tests.chaos.waiting import CampaignFailed


async def test_a_command_is_told_how_long_to_hold(tmp_path: Path) -> None:
    told = tmp_path / "told"
    await command_fault("x", f"echo $CHAOS_HOLD_S > {told}").strike(1.25)
    assert told.read_text().strip() in ("1.2", "1.3")


async def test_a_command_that_fails_ends_the_campaign_and_is_named() -> None:
    fault = command_fault("dataplane", "exit 3")
    with pytest.raises(CampaignFailed, match="fault dataplane ended with exit code 3: exit 3"):
        await fault.strike(0)
    with pytest.raises(CampaignFailed, match="dataplane"):
        await strike_all([fault], random.Random(1), 3)
