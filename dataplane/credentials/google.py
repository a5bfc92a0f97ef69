"""Credentials of Google Cloud: access tokens, as its own library gets them."""

from contextlib import closing
from datetime import UTC
from typing import Any, Final

import orjson

from dataplane.credentials.base import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    Cloud,
    Credential,
    CredentialError,
    CredentialSource,
    HeaderCredential,
    Identity,
    causes,
    chain,
    needs_extra,
    quiet,
    shown_code,
)

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
RECHECK_S: Final = 300.0
_AWS_SUBJECT: Final = "urn:ietf:params:aws:token-type:aws4_request"


class GoogleSource:
    """Tokens of the account that the upstream's secret describes, or of the one that the environment does."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._found: Any = None

    def acquire(self) -> Credential:
        with needs_extra("google"):
            import google.auth.transport.requests
        quiet("google")
        transport = google.auth.transport.requests.Request()
        with closing(transport.session):
            request = _BoundedRequest(transport)
            found, self._found = self._found or self._find(request), None
            found.refresh(request)
        self._found = found
        headers: dict[str, str] = {}
        found.apply(headers)
        # Its times are in UTC and say no zone.
        expire_time_s = None if found.expiry is None else found.expiry.replace(tzinfo=UTC).timestamp()
        return HeaderCredential({name.lower(): value for name, value in headers.items()}, expire_time_s, RECHECK_S)

    def _find(self, request: "_BoundedRequest") -> Any:
        """The library's own credentials."""
        import google.auth

        if not self._identity.secret:
            return google.auth.default(scopes=[SCOPE], request=request)[0]
        return _described(_parse_account(self._identity.secret.reveal()), request)


class _BoundedRequest:
    """The library's way of sending requests, with less patience: its own bound is two minutes."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    @property
    def session(self) -> Any:
        return self._transport.session

    def __call__(self, url: str, method: str = "GET", body: Any = None, headers: Any = None, **rest: Any) -> Any:
        """`rest` is the timeout, and what else the library passes on."""
        rest["timeout"] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        return self._transport(url, method, body, headers, **rest)


def google_source(identity: Identity) -> CredentialSource:
    """Raises CredentialError for a secret that describes no account."""
    if identity.secret:
        _parse_account(identity.secret.reveal())
    return GoogleSource(identity)


def _described(info: dict[str, Any], request: _BoundedRequest) -> Any:
    """The library's credentials for what `info` describes.

    Its general loader also asks a service for the project, which nothing here needs and few accounts may read.
    """
    import google.auth
    from google.auth import aws, identity_pool, pluggable
    from google.oauth2 import credentials, service_account

    match info["type"]:
        case "service_account":
            return service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])
        case "authorized_user":
            return credentials.Credentials.from_authorized_user_info(info, scopes=[SCOPE])
        case "external_account":
            source = info.get("credential_source")
            if info.get("subject_token_type") == _AWS_SUBJECT:
                return aws.Credentials.from_info(info, scopes=[SCOPE])
            if isinstance(source, dict) and "executable" in source:
                return pluggable.Credentials.from_info(info, scopes=[SCOPE])
            return identity_pool.Credentials.from_info(info, scopes=[SCOPE])
    return google.auth.load_credentials_from_dict(info, scopes=[SCOPE], request=request)[0]


def _parse_account(secret: str) -> dict[str, Any]:
    """The JSON that describes an account; it has a `type`. Raises CredentialError when it is none."""
    try:
        info = orjson.loads(secret)
    except orjson.JSONDecodeError:
        info = None
    if not isinstance(info, dict) or not isinstance(info.get("type"), str):
        raise CredentialError(
            "has a secret that is not the JSON of a service account or of another Google credential", is_lasting=True
        )
    return info


def problem_of(error: Exception) -> CredentialError:
    """What an error of the library means."""
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError, TransportError

    if isinstance(error, ValueError):
        return CredentialError("has a Google credential that is incomplete or malformed", is_lasting=True)
    if any(isinstance(cause, TransportError) for cause in chain(error)):
        return CredentialError(f"cannot reach what grants it Google tokens ({causes(error)})", is_lasting=False)
    if isinstance(error, RefreshError):
        response = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], dict) else {}
        return CredentialError(
            f"was refused a Google token ({shown_code(response.get('error'))}): check that its account and key exist, "
            "and the clock",
            is_lasting=not error.retryable,
        )
    if isinstance(error, DefaultCredentialsError):
        return CredentialError(
            "finds no Google credentials in the environment, or only such as cannot be read: give it a secret, or the "
            "pod or machine a service account",
            is_lasting=True,
        )
    return CredentialError(f"gets no Google token ({causes(error)})", is_lasting=isinstance(error, GoogleAuthError))


GOOGLE: Final = Cloud("google", (), google_source, problem_of)
