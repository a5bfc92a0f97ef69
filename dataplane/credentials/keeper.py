"""Holds the credentials of the upstreams in force: acquired and refreshed in threads, added to requests in memory."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol

from dataplane.call import UpstreamRequest
from dataplane.credentials.account import Account, retry_delays
from dataplane.credentials.aws import AWS
from dataplane.credentials.azure import AZURE
from dataplane.credentials.base import (
    Cloud,
    Credential,
    CredentialError,
    CredentialSource,
    Identity,
    causes,
)
from dataplane.credentials.google import GOOGLE
from dataplane.credentials.threads import run_apart
from dataplane.dialects.base import ProviderSpec
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Snapshot, Upstream

logger = logging.getLogger(__name__)

CLOUDS: Final[Mapping[str, Cloud]] = MappingProxyType({cloud.name: cloud for cloud in (AWS, GOOGLE, AZURE)})
LEAST_PAUSE_S: Final = 10.0
"""A cloud may hand out what it handed out before until that is almost over."""
LINGER_S: Final = 60.0
"""Calls that are running pin the snapshot that their upstream was in."""
INTERVAL_S: Final = 0.1
START_PATIENCE_S: Final = 5.0
"""How long a fresh process waits at most for its first credentials before it counts as ready without them."""
ACQUIRE_TIMEOUT_S: Final = 60.0
"""Bounds what the clouds' libraries do not: a file or a program that hangs, or a chain of places that each do."""
_THREADS: Final = 8
"""Threads at once: some clouds may hang, and many upstreams of a new configuration must not crowd out calls."""


class SnapshotSource(Protocol):
    """What holds the configuration in force; None until there is one."""

    @property
    def current(self) -> Snapshot | None: ...


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
        acquire_timeout_s: float = ACQUIRE_TIMEOUT_S,
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
        self._acquire_timeout_s = acquire_timeout_s
        self._accounts: dict[Identity, Account] = {}
        self._seen: Mapping[str, Upstream] | None = None
        self._is_wanted = asyncio.Event()
        self._is_prepared = asyncio.Event()
        self._prepare_until_s: float | None = None
        self._threads = asyncio.Semaphore(_THREADS)

    @property
    def is_settled(self) -> bool:
        """Whether every upstream in force has its credential, or one was tried for and could not be had."""
        snapshot = self._holder.current
        return (
            snapshot is not None
            and snapshot.upstreams is self._seen
            and all(account.is_tried for account in self._accounts.values())
        )

    async def wait_prepared(self) -> None:
        """Returns once the first configuration is settled, START_PATIENCE_S after it came at the latest.

        What becomes of credentials later changes nothing about it.
        """
        await self._is_prepared.wait()

    def authorize(self, request: UpstreamRequest, upstream: Upstream, provider: ProviderSpec) -> None:
        """Adds to `request` the headers that `provider.credentials` calls for. It neither waits nor reads anything.

        Raises UpstreamError: of kind CONNECT while there is no credential yet, or none for a reason that may pass, and
        AUTH when somebody must act first.
        """
        identity = self._clouds[provider.credentials].identity(upstream, provider)
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
        if snapshot is not None and not self._is_prepared.is_set():
            self._prepare(monotonic_s)

    def _prepare(self, monotonic_s: float) -> None:
        """Notes whether the first credentials need not be waited for any longer."""
        if self._prepare_until_s is None:
            self._prepare_until_s = monotonic_s + START_PATIENCE_S
        if self.is_settled:
            self._is_prepared.set()
        elif monotonic_s >= self._prepare_until_s:
            late = [name for a in self._accounts.values() if not a.is_tried for name in a.upstreams]
            logger.warning("no credential yet upstreams=%s: their calls are refused until there is", ",".join(late))
            self._is_prepared.set()

    def _follow(self, upstreams: Iterable[Upstream]) -> None:
        """Notes who is there now, and who is not any more."""
        names: dict[Identity, list[str]] = {}
        for upstream in upstreams:
            identity = self._identity(upstream)
            if identity is not None:
                names.setdefault(identity, []).append(upstream.id)
        for identity, ids in names.items():
            account = self._accounts.setdefault(identity, Account(identity))
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

    async def _refresh(self, account: Account) -> None:
        async with self._threads:
            try:
                credential = await self._acquired(account)
            except CredentialError as problem:
                self._note_outage(account, problem)
            except Exception as error:  # noqa: BLE001 - a cloud's library may raise anything; calls elsewhere go on
                self._note_outage(account, self._problem(account, error))
            else:
                self._note_credential(account, credential)

    async def _acquired(self, account: Account) -> Credential:
        """A new credential. Raises CredentialError when it takes too long, and what its source raises."""
        name = f"credential {account.upstreams[0]}"
        timeout = asyncio.timeout(self._acquire_timeout_s)
        try:
            async with timeout:
                account.source, credential = await run_apart(partial(self._acquire, account), name)
        except TimeoutError:
            if not timeout.expired():
                raise
            account.source = None
            waited = f"has waited {self._acquire_timeout_s:g} s in vain for what grants it credentials"
            raise CredentialError(waited, is_lasting=False) from None
        return credential

    def _acquire(self, account: Account) -> tuple[CredentialSource, Credential]:
        """In a thread; the source that one holds which was given up is not used by those after it."""
        thread = object()
        account.threads.add(thread)
        try:
            source = account.source or self._clouds[account.identity.cloud].source(account.identity)
            return source, source.acquire()
        finally:
            account.threads.discard(thread)

    def _problem(self, account: Account, error: Exception) -> CredentialError:
        """What an error of a library means, also of one too broken to tell its own errors by."""
        try:
            return self._clouds[account.identity.cloud].problem(error)
        except Exception:  # noqa: BLE001 - only importing the library may fail
            return CredentialError(f"gets no credential ({causes(error)})", is_lasting=False)

    def _note_credential(self, account: Account, credential: Credential) -> None:
        if account.is_out:
            logger.info("credential is there again upstreams=%s", ",".join(account.upstreams))
        account.credential, account.problem, account.is_out = credential, None, False
        account.delays = retry_delays()
        pause_s = credential.recheck_s if credential.expire_time_s is None else LEAST_PAUSE_S
        account.not_before_s = math.inf if pause_s is None else self._monotonic_s() + pause_s

    def _note_outage(self, account: Account, problem: CredentialError) -> None:
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


def _refusal(upstream: Upstream, problem: CredentialError | None) -> UpstreamError:
    if problem is None:
        return UpstreamError(
            UpstreamErrorKind.CONNECT,
            f'The credential of upstream "{upstream.id}" is still being acquired. Try again in a moment.',
        )
    kind = UpstreamErrorKind.AUTH if problem.is_lasting else UpstreamErrorKind.CONNECT
    step = "" if problem.is_lasting else " It is tried again in the background; try the call again."
    return UpstreamError(kind, f'The upstream "{upstream.id}" {problem}.{step}')
