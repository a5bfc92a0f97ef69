"""Plays recordings through a running gateway, and tells how many of them come out as they went in."""

import argparse
import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp

from dataplane.dialects.catalog import CATALOG
from dataplane.ingress.openai import ENDPOINTS
from dataplane.snapshot import Secret, Upstream
from tests.fakes.gateway import RunningGateway, start_gateway, upstream
from tests.fakes.replayer import Exchange, ReplayedRequest, Replayer, forced_tool
from tests.golden import recordings
from tests.golden.answers import Answer
from tests.golden.cases import COMPATIBLE, Case, Way, read_cases, unplayed_apis
from tests.golden.conformance import EXCEPTIONS, Format, judge, judge_ledger, judge_passed, shaped
from tests.golden.evidence import COUNTS, kind_of
from tests.golden.evidence.types import Chat, Failure

_MAX_BODY_BYTES: Final = 16 << 20
_OPTION: Final = "some-option"
_REGION: Final = "us-east-1"
_BEARER: Final = "ABSK-some-key"
"""A secret that no cloud has to be asked about."""
_AWS_EVENTS: Final = "application/vnd.amazon.eventstream"
_OTHER_METHODS: Final = frozenset(
    ("embed_v1", "rerank_v1", "anthropic_rawPredict", "anthropic_streamRawPredict", "predict", "embedContent")
)
"""Kinds whose answers are those of another method too, which is what is called here."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway in front of a provider that replays; every case has an upstream of its own there."""

    gateway: RunningGateway
    replayer: Replayer
    session: aiohttp.ClientSession

    async def play(self, case: Case) -> list[str]:
        """What is wrong with the answer to `case`, with what the provider was sent and with what was metered."""
        ask = case.ask()
        body = {**ask.body, "model": f"{case.token}/{ask.body['model']}"}
        async with self.session.post(ask.path, json=body) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            answer = Answer(response.status, headers, await response.read())
        outcome = await self.gateway.outcome()
        received = self.replayer.received(case.token)
        if not received:
            return [f"nothing was sent: {answer.status} {answer.body[:200].decode(errors='replace')}"]
        evidence = case.evidence
        if case.way is Way.SHAPED and isinstance(evidence, Chat) and forced_tool(received[-1].json):
            evidence = shaped(evidence, case.forced_tool)
        spoken = Format(case.speaks_anthropic, ask.path == "/v1/completions", case.is_passed)
        if case.is_native:
            problems = _judge_native(case, received[-1], answer, ask.body)
        else:
            problems = judge(evidence, answer, spoken, is_stream=ask.is_stream)
        problems += _judge_path(case, received[-1])
        if answer.status == 200 and kind_of(case.recording) not in COUNTS:
            problems += judge_ledger(evidence, outcome.attempts[-1].usage)
        return problems


@asynccontextmanager
async def stage(cases: Sequence[Case]) -> AsyncIterator[Stage]:
    """A stage that `cases` are laid down on."""
    replayer = Replayer()
    await replayer.start()
    upstreams = [_upstream(case, replayer.lay(case.token, _exchange(case))) for case in cases]
    gateway = await start_gateway(upstreams, [], max_body_bytes=_MAX_BODY_BYTES)
    try:
        async with aiohttp.ClientSession(gateway.url, headers={"x-api-key": gateway.key}) as session:
            yield Stage(gateway, replayer, session)
    finally:
        await gateway.stop()
        await replayer.stop()


def is_speakable(case: Case) -> bool:
    """Whether this gateway speaks what the case needs."""
    row = CATALOG.providers.get(_provider(case))
    has_format = not case.speaks_anthropic or "anthropic" in CATALOG.formats
    if row is None or row.dialect not in CATALOG.dialects or not has_format:
        return False
    return _endpoint_name(case) in row.at(case.model, {}).paths


def _endpoint_name(case: Case) -> str:
    """The endpoint that the provider must offer: clients of Anthropic's format are told what others are, too."""
    if case.way in (Way.FOREIGN, Way.FOREIGN_CUT_7) and kind_of(case.recording) not in COUNTS:
        return "chat_completions"
    return next(endpoint.name for endpoint in ENDPOINTS if endpoint.path == case.ask().path)


def _provider(case: Case) -> str:
    return case.provider if case.provider in CATALOG.providers else COMPATIBLE


def _upstream(case: Case, base_url: str) -> Upstream:
    row = CATALOG.providers[_provider(case)]
    options = {name: _OPTION for name in row.options if name in ("project", "location")}
    made = upstream(case.token, base_url)
    return replace(made, provider=row.name, options=options, region=_REGION, secret=Secret(_BEARER))


def _exchange(case: Case) -> Exchange:
    recording = case.recording
    headers = {"content-type": _content_type(case)} | recording.headers
    tool = case.forced_tool if case.way is Way.SHAPED else ""
    return Exchange(recording.status, headers, recording.body, case.piece_bytes, tool)


def _content_type(case: Case) -> str:
    """That of a recording which does not say."""
    if case.recording.status >= 400 or not case.recording.is_stream:
        return "application/json"
    return _AWS_EVENTS if kind_of(case.recording) == "converse_stream" else "text/event-stream"


def _judge_path(case: Case, request: ReplayedRequest) -> list[str]:
    """Where a call goes to another path than the recorded one, by its end, which names the method."""
    recorded, sent = _method(case.upstream_path), _method(request.path)
    if not recorded or recorded == sent or kind_of(case.recording) in _OTHER_METHODS:
        return []
    return [f"the call went to {request.path}, not to {case.upstream_path}"]


def _method(path: str) -> str:
    """The last word of a path."""
    return path.partition("?")[0].rpartition("/")[2].rpartition(":")[2]


def _judge_native(case: Case, request: ReplayedRequest, answer: Answer, asked: Mapping[str, object]) -> list[str]:
    problems = [] if request.json == {**asked, "model": case.model} else ["the provider was sent another body"]
    if isinstance(case.evidence, Failure):
        return problems + judge(case.evidence, answer, Format(is_anthropic=True))
    return problems + judge_passed(case.recording.body, answer)


async def _play_all(cases: Sequence[Case]) -> dict[Case, list[str]]:
    async with stage(cases) as played:
        return {case: await played.play(case) for case in cases}


def _print_rates(played: Mapping[Case, Sequence[str]]) -> None:
    passed: dict[str, Counter[Way]] = defaultdict(Counter)
    total: dict[str, Counter[Way]] = defaultdict(Counter)
    for case, problems in played.items():
        for row in (case.recording.api, "all"):
            total[row][case.way] += 1
            passed[row][case.way] += not problems
    ways = [way for way in Way if total["all"][way]]
    width = max(len(api) for api in total)
    print(" " * width, *(f"{way.value:>18}" for way in ways))
    for api in [*sorted(set(total) - {"all"}), "all"]:
        rates = (f"{passed[api][way]}/{total[api][way]}" if total[api][way] else "" for way in ways)
        print(f"{api:{width}}", *(f"{rate:>18}" for rate in rates))


def _print_rest(apis: Iterable[str], title: str) -> None:
    counted = Counter(apis)
    if counted:
        print(f"\n{title}: " + ", ".join(f"{api} {count}" for api, count in sorted(counted.items())))


def main(arguments: Sequence[str]) -> int:
    """Plays what the arguments name, and prints rates and differences; 1 where there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.conformance", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=recordings.FOLDER, help="recordings, in any subfolders")
    parser.add_argument("--api", default="", help="only apis whose names contain this")
    parser.add_argument("--sample", action="store_true", help="only the ways that the tests play")
    named = parser.parse_args(arguments)
    cases = [c for c in read_cases(named.folder, all_ways=not named.sample) if named.api in c.recording.api]
    speakable = [case for case in cases if is_speakable(case)]
    judged = [case for case in speakable if case.recording.id not in EXCEPTIONS]
    played = asyncio.run(_play_all(judged))
    for case, problems in played.items():
        for problem in problems:
            print(f"{case.name}: {problem}")
    _print_rates(played)
    _print_rest((c.recording.api for c in cases if not is_speakable(c)), "not spoken by this gateway")
    _print_rest(unplayed_apis(named.folder), "not played")
    excepted = {case.recording.id for case in speakable} & set(EXCEPTIONS)
    for name in sorted(excepted):
        print(f"not judged: {name}: {EXCEPTIONS[name]}")
    return 1 if any(played.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
