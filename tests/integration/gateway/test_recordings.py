"""Every recorded answer, through the running gateway, comes out as its provider meant it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.golden import recordings
from tests.golden.cases import Case, read_cases, unplayed_apis
from tests.golden.conformance import EXCEPTIONS
from tests.golden.playing import Stage, is_speakable, stage

READ = read_cases(recordings.FOLDER)
CASES = [case for case in READ if case.recording.id not in EXCEPTIONS and is_speakable(case)]
UNSPOKEN = {"perplexity.embeddings"}
UNPLAYED = {"bedrock.invoke", "bedrock.invoke_stream"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played() -> AsyncIterator[Stage]:
    async with stage(CASES) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_answer_is_what_the_provider_said(played: Stage, case: Case) -> None:
    assert await played.play(case) == []


async def test_no_recording_is_left_out_unseen() -> None:
    assert {case.recording.api for case in READ if not is_speakable(case)} <= UNSPOKEN
    assert set(unplayed_apis(recordings.FOLDER)) <= UNPLAYED
