"""What a credential is, where one comes from, and which upstreams share it."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

from dataplane.call import UpstreamRequest
from dataplane.dialects.base import ProviderSpec
from dataplane.errors import UpstreamError
from dataplane.snapshot import Secret, Upstream

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 6.0
"""Bounds of one exchange with a cloud, so that one that hangs is told soon and leaves its thread to others."""

AUTHORIZATION: Final = "authorization"
_BEARER: Final = "Bearer "
_SENT_SECRETS: Final = (AUTHORIZATION, "x-amz-security-token", "api-key", "ocp-apim-subscription-key")
_NO_CODE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_CODE: Final = 64
_MAX_CAUSES: Final = 3
_MAX_CHAIN: Final = 16


class CredentialError(Exception):
    """Why no credential is to be had: a clause about the upstream, with the next step, that holds no secret.

    `is_lasting` says that somebody must act; otherwise it may be over at the next try.
    """

    def __init__(self, problem: str, *, is_lasting: bool) -> None:
        super().__init__(problem)
        self.is_lasting = is_lasting


@dataclass(frozen=True, slots=True)
class Identity:
    """Who upstreams are to a cloud: those that say the same share one credential.

    `options` are those of the cloud that have a value, in its order.
    """

    cloud: str
    region: str
    secret: Secret
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str) -> str:
        """The option's value, "" without one."""
        return next((value for said, value in self.options if said == name), "")


class Credential(Protocol):
    """What makes requests welcome."""

    @property
    def expire_time_s(self) -> float | None:
        """Unix seconds after which it is refused, None for one that lasts."""
        ...

    @property
    def recheck_s(self) -> float | None:
        """Seconds after which one that lasts is looked up again; None when it can only come out the same."""
        ...

    def authorize(self, request: UpstreamRequest) -> None:
        """Adds the headers that it is made of."""
        ...


class CredentialSource(Protocol):
    """Where the credential of one identity comes from."""

    def acquire(self) -> Credential:
        """A credential as fresh as can be had; it may block, for seconds.

        Raises CredentialError, and whatever the cloud's library does: the Cloud tells what that means.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cloud:
    """One way of having credentials, as ProviderSpec.credentials names it.

    `options` are what upstreams may say about it. `source` raises CredentialError for an identity that makes no sense;
    `problem` tells what a library's error means, in words that hold none of the library's.
    """

    name: str
    options: tuple[str, ...]
    source: Callable[[Identity], CredentialSource]
    problem: Callable[[Exception], CredentialError]

    def identity(self, upstream: Upstream, provider: ProviderSpec) -> Identity:
        """Whose credential `upstream` needs."""
        said = {**provider.options, **upstream.options}
        options = tuple((name, value) for name in self.options if (value := said.get(name)))
        return Identity(self.name, upstream.region or said.get("region", ""), upstream.secret, options)


@dataclass(frozen=True, slots=True)
class HeaderCredential:
    """Headers that are the same for every request; names are lower-case."""

    headers: Mapping[str, str] = field(repr=False)
    expire_time_s: float | None = None
    recheck_s: float | None = None

    @classmethod
    def bearer(cls, token: str, expire_time_s: float | None = None) -> "HeaderCredential":
        return cls({AUTHORIZATION: _BEARER + token}, expire_time_s)

    def authorize(self, request: UpstreamRequest) -> None:
        put_headers(request, self.headers)


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A credential that is known without asking anybody."""

    credential: Credential = field(repr=False)

    def acquire(self) -> Credential:
        return self.credential


def put_headers(request: UpstreamRequest, headers: Mapping[str, str]) -> None:
    """Sets `headers`, whose names are lower-case, in place of any that are spelt otherwise."""
    for name in [name for name in request.headers if name.lower() in headers]:
        del request.headers[name]
    request.headers.update(headers)


def redact_sent(error: UpstreamError, request: UpstreamRequest) -> None:
    """Takes the credential of `request` out of what the upstream said, should it have repeated it."""
    for name in _SENT_SECRETS:
        error.redact(request.headers.get(name, "").removeprefix(_BEARER))


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around imports of a cloud's library. Raises CredentialError, naming what to install, when it is not there."""
    try:
        yield
    except ImportError:
        raise CredentialError(
            f"needs a library that is not installed where this data plane runs: pip install 'tollway[{extra}]'",
            is_lasting=True,
        ) from None


def quiet(*libraries: str) -> None:
    """Keeps `libraries` from logging: they show what they send, and tell a failure many times over."""
    for library in libraries:
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it came from, and so on, as far as that is of interest."""
    cause: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def causes(error: BaseException) -> str:
    """What kind of error it is, and what caused it. Its text may repeat a secret, so that is not shown."""
    return " from ".join(dict.fromkeys(type(cause).__name__ for cause in islice(chain(error), _MAX_CAUSES)))


def shown_code(code: object) -> str:
    """An error code as a cloud gave it, cut down to what codes are made of; "unknown" for none."""
    return _NO_CODE.sub("", code)[:_MAX_CODE] if isinstance(code, str) and code else "unknown"
