"""When credentials are acquired, refreshed, waited for in the background, and forgotten."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice

import pytest

from dataplane.call import UpstreamRequest
from dataplane.credentials.account import (
    FIRST_RETRY_S,
    LONGEST_RETRY_S,
    MOST_THREADS,
    REFRESH_AHEAD_S,
    retry_delays,
)
from dataplane.credentials.base import Cloud, Credential, CredentialError, HeaderCredential, Identity
from dataplane.credentials.keeper import CLOUDS, LEAST_PAUSE_S, LINGER_S, START_PATIENCE_S, CredentialKeeper
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.catalog import CATALOG
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Secret, Snapshot, Upstream
from tests.fakes.outcomes import UPSTREAM

CANARY = "canary-7f3a"
LIFETIME_S = 3600.0
INTERVAL_S = 0.001
PROVIDER = ProviderSpec("cloud", credentials="test")
PLAIN = ProviderSpec("openai")
PROVIDERS = {row.name: row for row in (PROVIDER, PLAIN)}
PASSING = CredentialError("cannot reach its cloud", is_lasting=False)
LASTING = CredentialError("was refused", is_lasting=True)


class Clock:
    """Seconds that only a test moves."""

    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class FakeHolder:
    current: Snapshot | None = None

    def hold(self, *upstreams: Upstream) -> None:
        self.current = Snapshot(upstreams={upstream.id: upstream for upstream in upstreams})


@dataclass
class FakeCloud:
    """Gives the credentials "Bearer SECRET-NUMBER"; `failures` are raised first, and `gate` holds every thread up."""

    clock: Clock
    failures: list[Exception] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    acquired: list[Identity] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    lifetime_s: float | None = LIFETIME_S
    recheck_s: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    def cloud(self) -> Cloud:
        return Cloud("test", ("account",), lambda identity: FakeSource(self, identity), lambda error: PASSING)


@dataclass
class FakeSource:
    cloud: FakeCloud
    identity: Identity

    def acquire(self) -> Credential:
        with self.cloud.lock:
            self.cloud.acquired.append(self.identity)
            self.cloud.running += 1
            self.cloud.most_running = max(self.cloud.running, self.cloud.most_running)
        try:
            self.cloud.gate.wait()
            return self._credential()
        finally:
            with self.cloud.lock:
                self.cloud.running -= 1

    def _credential(self) -> Credential:
        cloud = self.cloud
        if cloud.failures:
            raise cloud.failures.pop(0)
        count = sum(identity == self.identity for identity in cloud.acquired)
        expire_time_s = None if cloud.lifetime_s is None else cloud.clock() + cloud.lifetime_s
        token = f"{self.identity.secret.reveal()}-{count}"
        return HeaderCredential({"authorization": f"Bearer {token}"}, expire_time_s, cloud.recheck_s)


class Room:
    """A keeper that runs, and what it depends on."""

    def __init__(self, acquire_timeout_s: float = 60.0) -> None:
        self.clock = Clock()
        self.holder = FakeHolder()
        self.cloud = FakeCloud(self.clock)
        clouds = {**CLOUDS, "test": self.cloud.cloud()}
        self.keeper = CredentialKeeper(
            self.holder, PROVIDERS, clouds, self.clock, self.clock, INTERVAL_S, acquire_timeout_s
        )

    def start(self) -> None:
        self.task = asyncio.create_task(self.keeper.run())

    async def end(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    def header(self, upstream: Upstream) -> str:
        """The authorization that a request would go out with. Raises UpstreamError."""
        request = UpstreamRequest("https://cloud.example.com/", {}, b"")
        self.keeper.authorize(request, upstream, PROVIDER)
        return request.headers["authorization"]

    def header_or_none(self, upstream: Upstream) -> str | None:
        with suppress(UpstreamError):
            return self.header(upstream)
        return None

    def refusal(self, upstream: Upstream) -> UpstreamError:
        with pytest.raises(UpstreamError) as caught:
            self.header(upstream)
        return caught.value

    async def until_settled(self) -> None:
        await until(lambda: self.keeper.is_settled)

    async def is_prepared(self) -> bool:
        """Whether nobody would wait for the first credentials any longer."""
        await asyncio.sleep(5 * INTERVAL_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL_S):
                await self.keeper.wait_prepared()
                return True
        return False

    async def rest(self) -> None:
        """Long enough for everything that is due."""
        for _ in range(5):
            await asyncio.sleep(INTERVAL_S)
        await until(lambda: self.cloud.running == 0)


@asynccontextmanager
async def running(acquire_timeout_s: float = 60.0) -> AsyncIterator[Room]:
    room = Room(acquire_timeout_s)
    room.start()
    try:
        yield room
    finally:
        await room.end()
        room.cloud.gate.set()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(INTERVAL_S)


def upstream(name: str = "bedrock", secret: str = "s", **options: str) -> Upstream:
    return replace(
        UPSTREAM, id=name, name=f"upstreams/{name}", provider="cloud", secret=Secret(secret), options=options
    )


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


async def test_credential_is_there_soon_after_its_upstream() -> None:
    async with running() as room:
        assert not room.keeper.is_settled
        room.holder.hold(upstream())
        await room.until_settled()
        assert room.header(upstream()) == "Bearer s-1"


async def test_only_upstreams_in_clouds_are_looked_after() -> None:
    async with running() as room:
        room.holder.hold(replace(UPSTREAM, provider="openai"), upstream())
        await room.until_settled()
        assert [identity.cloud for identity in room.cloud.acquired] == ["test"]


async def test_upstreams_that_say_the_same_share_one() -> None:
    async with running() as room:
        room.holder.hold(upstream("a"), upstream("b"), upstream("c", account="other"))
        await room.until_settled()
        assert len(room.cloud.acquired) == 2
        assert room.header(upstream("a")) == room.header(upstream("b")) == "Bearer s-1"


async def test_request_never_waits_for_a_credential() -> None:
    async with running() as room:
        room.cloud.gate.clear()
        room.holder.hold(upstream())
        await until(lambda: room.cloud.running == 1)
        start_s = time.monotonic()
        error = room.refusal(upstream())
        assert time.monotonic() - start_s < 0.05
        assert error.kind is UpstreamErrorKind.CONNECT
        assert '"bedrock"' in error.message
        assert "Try again" in error.message
        room.cloud.gate.set()
        await room.until_settled()
        assert room.header(upstream()) == "Bearer s-1"


async def test_upstream_is_unknown_before_any_snapshot() -> None:
    room = Room()
    error = room.refusal(upstream())
    assert error.kind is UpstreamErrorKind.CONNECT
    assert '"bedrock"' in error.message


async def test_refresh_is_five_minutes_ahead_of_expiry() -> None:
    assert REFRESH_AHEAD_S == 5 * 60
    async with running() as room:
        room.holder.hold(upstream())
        await room.until_settled()
        room.clock.now_s += LIFETIME_S - REFRESH_AHEAD_S - 1
        await room.rest()
        assert room.header(upstream()) == "Bearer s-1"
        room.clock.now_s += 1
        await until(lambda: room.header(upstream()) == "Bearer s-2")


async def test_last_credential_serves_while_the_next_is_acquired() -> None:
    async with running() as room:
        room.holder.hold(upstream())
        await room.until_settled()
        room.cloud.gate.clear()
        room.clock.now_s += LIFETIME_S - REFRESH_AHEAD_S
        await until(lambda: room.cloud.running == 1)
        assert room.header(upstream()) == "Bearer s-1"
        room.clock.now_s += REFRESH_AHEAD_S
        assert room.refusal(upstream()).kind is UpstreamErrorKind.CONNECT


async def test_one_thread_at_a_time_for_one_identity() -> None:
    async with running() as room:
        room.cloud.gate.clear()
        room.holder.hold(upstream("a"), upstream("b"))
        await until(lambda: room.cloud.running == 1)
        room.clock.now_s += 10 * LIFETIME_S
        room.holder.hold(upstream("b"), upstream("c"))
        for _ in range(20):
            await asyncio.sleep(INTERVAL_S)
        assert len(room.cloud.acquired) == 1


async def test_threads_are_few() -> None:
    async with running() as room:
        room.cloud.gate.clear()
        room.holder.hold(*(upstream(f"u{number}", f"s{number}") for number in range(12)))
        await until(lambda: room.cloud.running == 8)
        for _ in range(20):
            await asyncio.sleep(INTERVAL_S)
        room.cloud.gate.set()
        await room.until_settled()
        assert room.cloud.most_running == 8
        assert len(room.cloud.acquired) == 12


async def test_same_credential_again_is_not_asked_for_all_the_time() -> None:
    async with running() as room:
        room.cloud.lifetime_s = REFRESH_AHEAD_S - 60
        room.holder.hold(upstream())
        await room.until_settled()
        await room.rest()
        assert len(room.cloud.acquired) == 1
        room.clock.now_s += LEAST_PAUSE_S
        await until(lambda: len(room.cloud.acquired) == 2)


async def test_lasting_credential_is_looked_up_again_only_where_it_may_change() -> None:
    async with running() as room:
        room.cloud.lifetime_s, room.cloud.recheck_s = None, 300.0
        room.holder.hold(upstream())
        await room.until_settled()
        room.clock.now_s += 299
        await room.rest()
        assert len(room.cloud.acquired) == 1
        room.cloud.recheck_s = None
        room.clock.now_s += 1
        await until(lambda: len(room.cloud.acquired) == 2)
        room.clock.now_s += 1_000_000
        await room.rest()
        assert len(room.cloud.acquired) == 2
        assert room.header(upstream()) == "Bearer s-2"


@pytest.mark.parametrize(("failure", "kind"), [(PASSING, UpstreamErrorKind.CONNECT), (LASTING, UpstreamErrorKind.AUTH)])
async def test_outage_refuses_requests_and_ends_by_itself(failure: CredentialError, kind: UpstreamErrorKind) -> None:
    async with running() as room:
        room.cloud.failures = [failure]
        room.holder.hold(upstream())
        await room.until_settled()
        error = room.refusal(upstream())
        assert error.kind is kind
        assert f'"bedrock" {failure}' in error.message
        room.clock.now_s += FIRST_RETRY_S
        await until(lambda: room.header_or_none(upstream()) == "Bearer s-2")


async def test_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dataplane.credentials")
    async with running() as room:
        room.cloud.failures = [PASSING, LASTING, RuntimeError(CANARY), PASSING]
        room.holder.hold(upstream("a", CANARY), upstream("b", CANARY))
        for tries in range(1, 5):
            await until(lambda tries=tries: len(room.cloud.acquired) == tries)  # type: ignore[misc]
            await room.rest()
            room.clock.now_s += LONGEST_RETRY_S
        await until(lambda: room.header_or_none(upstream("a", CANARY)) is not None)
    (line,) = logged(caplog, logging.WARNING)
    assert "upstreams=a,b" in line
    assert str(PASSING) in line
    assert logged(caplog, logging.INFO) == ["credential is there again upstreams=a,b"]
    assert CANARY not in caplog.text


async def test_unknown_error_of_a_library_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as room:
        room.cloud.failures = [MemoryError(CANARY)]
        room.holder.hold(upstream())
        await room.until_settled()
        assert room.refusal(upstream()).kind is UpstreamErrorKind.CONNECT
        assert CANARY not in room.refusal(upstream()).message
    assert CANARY not in caplog.text


async def test_failed_refresh_is_told_while_the_last_credential_serves(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as room:
        room.holder.hold(upstream())
        await room.until_settled()
        room.cloud.failures = [PASSING]
        room.clock.now_s += LIFETIME_S - REFRESH_AHEAD_S
        await until(lambda: bool(logged(caplog, logging.WARNING)))
        assert "still serves" in logged(caplog, logging.WARNING)[0]
        assert room.header(upstream()) == "Bearer s-1"


async def test_expired_credential_is_never_sent() -> None:
    async with running() as room:
        room.holder.hold(upstream())
        await room.until_settled()
        room.cloud.failures = [LASTING] * 10
        room.clock.now_s += LIFETIME_S
        await until(lambda: len(room.cloud.acquired) == 2)
        await room.rest()
        assert room.refusal(upstream()).kind is UpstreamErrorKind.AUTH


async def test_new_secret_is_another_credential_and_the_old_one_lingers_for_running_calls() -> None:
    async with running() as room:
        room.holder.hold(upstream(secret="old"))
        await room.until_settled()
        room.holder.hold(upstream(secret="new"))
        await until(lambda: room.header_or_none(upstream(secret="new")) == "Bearer new-1")
        assert room.header(upstream(secret="old")) == "Bearer old-1"
        room.clock.now_s += LINGER_S
        await until(lambda: room.header_or_none(upstream(secret="old")) is None)
        assert room.header(upstream(secret="new")) == "Bearer new-1"


async def test_upstream_that_is_gone_is_not_refreshed_and_forgotten() -> None:
    async with running() as room:
        room.holder.hold(upstream())
        await room.until_settled()
        room.holder.hold()
        await room.until_settled()
        room.clock.now_s += LINGER_S
        await until(lambda: room.header_or_none(upstream()) is None)
        room.clock.now_s += LIFETIME_S
        await room.rest()
        assert len(room.cloud.acquired) == 1


async def test_upstream_that_comes_back_in_time_has_its_credential() -> None:
    async with running() as room:
        room.holder.hold(upstream())
        await room.until_settled()
        room.holder.hold()
        await room.rest()
        room.clock.now_s += LINGER_S / 2
        room.holder.hold(upstream())
        await room.until_settled()
        room.clock.now_s += LINGER_S
        await room.rest()
        assert room.header(upstream()) == "Bearer s-1"


async def test_request_wakes_the_keeper() -> None:
    room = Room()
    room.keeper = CredentialKeeper(
        room.holder, PROVIDERS, {**CLOUDS, "test": room.cloud.cloud()}, room.clock, room.clock, interval_s=3600.0
    )
    task = asyncio.create_task(room.keeper.run())
    await asyncio.sleep(0)
    room.holder.hold(upstream())
    room.refusal(upstream())
    await until(lambda: room.header_or_none(upstream()) is not None)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_first_credential_is_waited_for() -> None:
    async with running() as room:
        assert not await room.is_prepared()
        room.cloud.gate.clear()
        room.holder.hold(upstream("a", "a"), upstream("b", "b"))
        await until(lambda: room.cloud.running == 2)
        assert not await room.is_prepared()
        room.cloud.gate.set()
        await room.keeper.wait_prepared()
        assert room.header(upstream("a", "a")) == "Bearer a-1"
        assert room.header(upstream("b", "b")) == "Bearer b-1"


async def test_first_credential_that_is_refused_is_waited_for_no_longer() -> None:
    async with running() as room:
        room.cloud.failures = [LASTING]
        room.holder.hold(upstream())
        await room.keeper.wait_prepared()
        assert room.refusal(upstream()).kind is UpstreamErrorKind.AUTH


@pytest.mark.parametrize("upstreams", [(), (replace(UPSTREAM, provider="openai"),)])
async def test_without_clouds_there_is_nothing_to_wait_for(upstreams: tuple[Upstream, ...]) -> None:
    async with running() as room:
        room.holder.hold(*upstreams)
        assert await room.is_prepared()


async def test_cloud_that_hangs_is_waited_for_a_bounded_time(caplog: pytest.LogCaptureFixture) -> None:
    assert START_PATIENCE_S <= 5
    async with running() as room:
        room.cloud.gate.clear()
        room.holder.hold(upstream("slow"))
        await until(lambda: room.cloud.running == 1)
        room.clock.now_s += START_PATIENCE_S - 0.5
        room.holder.hold(upstream("slow"), upstream("later", "other"))
        assert not await room.is_prepared()
        room.clock.now_s += 0.5
        assert await room.is_prepared()
        assert room.refusal(upstream("slow")).kind is UpstreamErrorKind.CONNECT
        (line,) = logged(caplog, logging.WARNING)
        assert "upstreams=slow,later" in line


async def test_what_becomes_of_credentials_later_is_not_waited_for() -> None:
    async with running() as room:
        room.holder.hold(upstream())
        await room.keeper.wait_prepared()
        room.cloud.failures = [PASSING] * 3
        room.clock.now_s += 2 * LIFETIME_S
        room.holder.hold(upstream(), upstream("new", "new"))
        await until(lambda: room.header_or_none(upstream()) is None)
        assert await room.is_prepared()


async def test_end_does_not_wait_for_a_cloud_that_hangs() -> None:
    async with running() as room:
        room.cloud.gate.clear()
        room.holder.hold(upstream("a", "a"), upstream("b", "b"))
        await until(lambda: room.cloud.running == 2)
        hanging = [thread for thread in threading.enumerate() if thread.name.startswith("credential ")]
        start_s = time.monotonic()
        await room.end()
        async with asyncio.timeout(1):
            await asyncio.get_running_loop().shutdown_default_executor()
        assert time.monotonic() - start_s < 0.5
        assert room.cloud.running == len(hanging) == 2
        assert all(thread.daemon for thread in hanging), "the interpreter waits for all others when it ends"


async def test_thread_that_does_not_come_back_is_told_and_joined_by_few_others() -> None:
    async with running(acquire_timeout_s=0.02) as room:
        room.cloud.gate.clear()
        room.holder.hold(*(upstream(f"u{number}", f"s{number}") for number in range(4)))
        await room.until_settled()
        error = room.refusal(upstream("u0", "s0"))
        assert (error.kind, "in vain" in error.message) == (UpstreamErrorKind.CONNECT, True)
        for _ in range(40):
            room.clock.now_s += LONGEST_RETRY_S
            await asyncio.sleep(INTERVAL_S)
        assert len(room.cloud.acquired) == 4 * MOST_THREADS
        room.cloud.gate.set()
        await until(lambda: room.header_or_none(upstream("u0", "s0")) is not None)


async def test_what_hung_once_is_tried_again() -> None:
    async with running(acquire_timeout_s=0.02) as room:
        hung, room.cloud.gate = room.cloud.gate, threading.Event()
        room.holder.hold(upstream("u", "s"))
        await room.until_settled()
        room.cloud.gate = hung
        room.clock.now_s += LONGEST_RETRY_S
        await until(lambda: room.header_or_none(upstream("u", "s")) is not None)


async def test_threads_that_do_not_come_back_leave_room_for_others() -> None:
    async with running(acquire_timeout_s=0.02) as room:
        room.cloud.gate.clear()
        room.holder.hold(*(upstream(f"u{number}", f"s{number}") for number in range(9)))
        await until(lambda: len(room.cloud.acquired) == 9)


@pytest.mark.parametrize("error", [SystemExit(CANARY), StopIteration(CANARY), TimeoutError(CANARY), OSError(CANARY)])
async def test_nothing_that_a_library_raises_stops_the_keeper(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_problem(error: Exception) -> CredentialError:
        raise ImportError(CANARY)

    room = Room()
    cloud = replace(room.cloud.cloud(), problem=broken_problem)
    keeper = CredentialKeeper(room.holder, PROVIDERS, {**CLOUDS, "test": cloud}, room.clock, room.clock, INTERVAL_S)
    room.keeper = keeper
    room.cloud.failures = [error]  # type: ignore[list-item]
    room.holder.hold(upstream())
    task = asyncio.create_task(keeper.run())
    await room.until_settled()
    assert "gets no credential (" in room.refusal(upstream()).message
    assert CANARY not in room.refusal(upstream()).message + caplog.text
    room.clock.now_s += FIRST_RETRY_S
    await until(lambda: room.header_or_none(upstream()) is not None)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_providers_of_unknown_clouds_are_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="atlantis"):
        CredentialKeeper(FakeHolder(), {"x": ProviderSpec("x", credentials="atlantis")})


def test_every_provider_that_is_known_has_its_cloud() -> None:
    CredentialKeeper(FakeHolder(), CATALOG.providers)


def test_delays_double_up_to_a_bound() -> None:
    delays = list(islice(retry_delays(), 20))
    assert FIRST_RETRY_S / 2 <= delays[0] <= FIRST_RETRY_S
    assert max(delays) <= LONGEST_RETRY_S
    assert all(delay >= LONGEST_RETRY_S / 2 for delay in delays[-5:])


def test_nothing_of_a_credential_is_in_reprs() -> None:
    cloud: Iterable[object] = (Room().keeper, upstream(secret=CANARY), HeaderCredential.bearer(CANARY))
    assert CANARY not in repr(cloud)
