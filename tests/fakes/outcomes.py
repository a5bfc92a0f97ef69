"""Calls that have ended, made without any call."""

from dataclasses import replace

from dataplane.call import Attempt, Call, Endpoint, Outcome, Principal
from dataplane.snapshot import Route, Secret, Snapshot, Strategy, Upstream, VirtualKey
from tollway.kernel.usage import SettlementState, Usage

START_TIME_US = 1_790_000_000_000_000
REQUEST_ID = "req_0198c3a4b5c67d8e9f00112233445566"
CHAT = Endpoint("chat_completions", "/v1/chat/completions", "chat", True)
UPSTREAM = Upstream(
    name="upstreams/openai",
    id="openai",
    provider="openai",
    base_url="https://api.example.com/v1",
    region="",
    headers={},
    listed_models=("gpt-listed",),
    admitted_models=None,
    options={},
    secret=Secret("sk-canary"),
)
KEY = VirtualKey(
    name="teams/growth/keys/ci",
    team="teams/growth",
    owner="users/ada",
    allowed_models=None,
    metadata={},
    expire_time_ms=0,
    revoked=False,
)
SNAPSHOT = Snapshot(
    epoch="e",
    revision=7,
    routes={"smart": Route("routes/smart", "smart", Strategy.WEIGHTED, ())},
    upstreams={"openai": UPSTREAM},
)
CALL = Call(
    request_id=REQUEST_ID,
    client_request_id="",
    endpoint=CHAT,
    snapshot=SNAPSHOT,
    body={},
    model="smart",
    stream=False,
    wants_usage=False,
    end_user="",
    metadata={},
    forwarded_headers={},
    timeout_s=None,
    start_time_us=START_TIME_US,
    start_s=0.0,
    body_wait_s=0.0,
)


def make_call(**fields: object) -> Call:
    return replace(CALL, **fields)  # type: ignore[arg-type]


def make_attempt(number: int = 1, **fields: object) -> Attempt:
    """An attempt that was answered with 5 tokens for 3, at 123 nano-USD."""
    attempt = Attempt(
        number=number,
        upstream=UPSTREAM,
        upstream_model="gpt-x",
        start_time_us=START_TIME_US + 1_000,
        first_frame_time_us=START_TIME_US + 250_000,
        end_time_us=START_TIME_US + 400_000,
        status=200,
        response_model="gpt-x-2026",
        usage=Usage(input=3, output=5),
        state=SettlementState.REPORTED,
        cost_nano_usd=123,
        price="prices/x",
        price_revision=4,
    )
    return replace(attempt, **fields)  # type: ignore[arg-type]


def make_outcome(*attempts: Attempt, call: Call = CALL, **fields: object) -> Outcome:
    """An outcome of 200 with `attempts`; none means one good attempt."""
    outcome = Outcome(
        call=call,
        principal=Principal(KEY),
        route="routes/smart",
        status=200,
        attempts=list(attempts) or [make_attempt()],
    )
    return replace(outcome, **fields)  # type: ignore[arg-type]
