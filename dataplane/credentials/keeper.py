"""Holds the credentials of the upstreams in force: acquired and refreshed in threads, added to requests in memory."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from dataplane.call import UpstreamRequest
from dataplane.credentials.aws import AWS
from dataplane.credentials.azure import AZURE
from dataplane.credentials.base import (
    Cloud,
    Credential,
    CredentialError,
    CredentialSource,
    Identity,
    put_headers,
)
from dataplane.credentials.google import GOOGLE
from dataplane.dialects.base import ProviderSpec
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.retries import doubling_delays
from dataplane.snapshot import Snapshot, Upstream

logger = logging.getLogger(__name__)

CLOUDS: Final[Mapping[str, Cloud]] = MappingProxyType({cloud.name: cloud for cloud in (AWS, GOOGLE, AZURE)})
REFRESH_AHEAD_S: Final = 300.0
LEAST_PAUSE_S: Final = 10.0
"""A cloud may hand out what it handed out before until that is almost over."""
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 60.0
LINGER_S: Final = 60.0
"""Calls that are running pin the snapshot that their upstream was in."""
INTERVAL_S: Final = 0.1
_THREADS: Final = 3
"""The pool of threads also resolves the names of upstreams: most of it must stay free."""


class SnapshotSource(Protocol):
    """What holds the configuration in force; None until there is one."""

    @property
    def current(self) -> Snapshot | None: ...


@dataclass(slots=True)
class _Account:
    """One identity: what is known of its credential, and when it is looked after again (monotonic seconds)."""

    identity: Identity
    upstreams: tuple[str, ...] = ()
    source: CredentialSource | None = None
    credential: Credential | None = None
    problem: CredentialError | None = None
    is_out: bool = False
    delays: Iterator[float] = field(default_factory=lambda: retry_delays())
    not_before_s: float = -math.inf
    gone_s: float | None = None
    task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        return self.task is not None and not self.task.done()

    def needs_refresh(self, now_s: float) -> bool:
        """Whether the credential is missing or, at `now_s` in Unix seconds, better replaced."""
        expire_time_s = None if self.credential is None else self.credential.expire_time_s
        return expire_time_s is None or now_s >= expire_time_s - REFRESH_AHEAD_S

    def is_good(self, now_s: float) -> bool:
        """Whether there is a credential that has not expired at `now_s` in Unix seconds."""
        if self.credential is None:
            return False
        return self.credential.expire_time_s is None or now_s < self.credential.expire_time_s


class CredentialKeeper:
    """Adds credentials to requests, and keeps them fresh for the upstreams that `holder` has."""

    def __init__(
        self,
        holder: SnapshotSource,
        providers: Mapping[str, ProviderSpec],
        clouds: Mapping[str, Cloud] = CLOUDS,
        clock_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """Raises ValueError for a provider whose credentials are of no cloud."""
        named = {name for row in providers.values() for name in (row.credentials, *(c.credentials for c in row.cases))}
        unknown = named - {"", *clouds}
        if unknown:
            raise ValueError(f"no cloud is called {', '.join(sorted(unknown))}")
        self._holder = holder
        self._providers = providers
        self._clouds = clouds
        self._clock_s = clock_s
        self._monotonic_s = monotonic_s
        self._interval_s = interval_s
        self._accounts: dict[Identity, _Account] = {}
        self._seen: Mapping[str, Upstream] | None = None
        self._is_wanted = asyncio.Event()
        self._threads = asyncio.Semaphore(_THREADS)

    @property
    def is_settled(self) -> bool:
        """Whether every upstream in force has its credential, or one was tried for and could not be had."""
        snapshot = self._holder.current
        return (
            snapshot is not None
            and snapshot.upstreams is self._seen
            and all(a.credential or a.problem or a.gone_s is not None for a in self._accounts.values())
        )

    def authorize(self, request: UpstreamRequest, upstream: Upstream, provider: ProviderSpec) -> None:
        """Adds to `request` the headers that `provider.credentials` calls for. It neither waits nor reads anything.

        Raises UpstreamError: of kind CONNECT while there is no credential yet, or none for a reason that may pass, and
        AUTH when somebody must act first.
        """
        identity = self._clouds[provider.credentials].identity(upstream, provider)
        if identity is None:
            _send_secret(request, upstream, provider)
            return
        account = self._accounts.get(identity)
        if account is None:
            self._is_wanted.set()
        elif account.credential is not None and account.is_good(self._clock_s()):
            account.credential.authorize(request)
            return
        raise _refusal(upstream, None if account is None else account.problem)

    async def run(self) -> None:
        """Runs until cancelled. What goes wrong with a credential is logged once per outage and tried again."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._look(group)
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval_s):
                await self._is_wanted.wait()
        self._is_wanted.clear()

    def _look(self, group: asyncio.TaskGroup) -> None:
        snapshot = self._holder.current
        if snapshot is not None and snapshot.upstreams is not self._seen:
            self._seen = snapshot.upstreams
            self._follow(snapshot.upstreams.values())
        self._forget()
        now_s, monotonic_s = self._clock_s(), self._monotonic_s()
        for account in self._accounts.values():
            is_due = monotonic_s >= account.not_before_s and account.needs_refresh(now_s)
            if is_due and not account.is_busy and account.gone_s is None:
                account.task = group.create_task(self._refresh(account), name=f"credential {account.upstreams[0]}")

    def _follow(self, upstreams: Iterable[Upstream]) -> None:
        """Notes who is there now, and who is not any more."""
        names: dict[Identity, list[str]] = {}
        for upstream in upstreams:
            identity = self._identity(upstream)
            if identity is not None:
                names.setdefault(identity, []).append(upstream.id)
        for identity, ids in names.items():
            account = self._accounts.setdefault(identity, _Account(identity))
            account.upstreams, account.gone_s = tuple(ids), None
        for identity, account in self._accounts.items():
            if identity not in names and account.gone_s is None:
                account.gone_s = self._monotonic_s()

    def _identity(self, upstream: Upstream) -> Identity | None:
        row = self._providers.get(upstream.provider)
        provider = None if row is None else row.at("", upstream.options)
        if provider is None or not provider.credentials:
            return None
        return self._clouds[provider.credentials].identity(upstream, provider)

    def _forget(self) -> None:
        before_s = self._monotonic_s() - LINGER_S
        over = [identity for identity, a in self._accounts.items() if a.gone_s is not None and a.gone_s <= before_s]
        for identity in over:
            del self._accounts[identity]

    async def _refresh(self, account: _Account) -> None:
        async with self._threads:
            try:
                credential = await asyncio.to_thread(self._acquire, account)
            except CredentialError as problem:
                self._note_outage(account, problem)
            except Exception as error:  # noqa: BLE001 - a cloud's library may raise anything; calls elsewhere go on
                self._note_outage(account, self._clouds[account.identity.cloud].problem(error))
            else:
                self._note_credential(account, credential)

    def _acquire(self, account: _Account) -> Credential:
        """In a thread, and for each account in one at a time."""
        if account.source is None:
            account.source = self._clouds[account.identity.cloud].source(account.identity)
        return account.source.acquire()

    def _note_credential(self, account: _Account, credential: Credential) -> None:
        if account.is_out:
            logger.info("credential is there again upstreams=%s", ",".join(account.upstreams))
        account.credential, account.problem, account.is_out = credential, None, False
        account.delays = retry_delays()
        pause_s = credential.recheck_s if credential.expire_time_s is None else LEAST_PAUSE_S
        account.not_before_s = math.inf if pause_s is None else self._monotonic_s() + pause_s

    def _note_outage(self, account: _Account, problem: CredentialError) -> None:
        account.problem = problem
        account.not_before_s = self._monotonic_s() + next(account.delays)
        if account.is_out:
            return
        account.is_out = True
        rest = "; the last one still serves" if account.is_good(self._clock_s()) else ""
        logger.warning(
            "no credential upstreams=%s: it %s%s; it is tried again until there is one",
            ",".join(account.upstreams),
            problem,
            rest,
        )


def retry_delays() -> Iterator[float]:
    """Seconds before each further try: doubling, up to half of each by chance."""
    return doubling_delays(FIRST_RETRY_S, LONGEST_RETRY_S)


def _send_secret(request: UpstreamRequest, upstream: Upstream, provider: ProviderSpec) -> None:
    if not upstream.secret:
        raise UpstreamError(
            UpstreamErrorKind.AUTH, f'The upstream "{upstream.id}" has no secret. An admin must give it one.'
        )
    header, before = provider.auth
    put_headers(request, {header: before + upstream.secret.reveal()})


def _refusal(upstream: Upstream, problem: CredentialError | None) -> UpstreamError:
    if problem is None:
        return UpstreamError(
            UpstreamErrorKind.CONNECT,
            f'The credential of upstream "{upstream.id}" is still being acquired. Try again in a moment.',
        )
    kind = UpstreamErrorKind.AUTH if problem.is_lasting else UpstreamErrorKind.CONNECT
    step = "" if problem.is_lasting else " It is tried again in the background; try the call again."
    return UpstreamError(kind, f'The upstream "{upstream.id}" {problem}.{step}')
