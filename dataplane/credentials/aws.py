"""Credentials of AWS: what signs requests to Bedrock, or the key that they bear."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from dataplane.call import UpstreamRequest
from dataplane.credentials.base import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    Cloud,
    Credential,
    CredentialError,
    CredentialSource,
    HeaderCredential,
    Identity,
    KnownSource,
    causes,
    needs_extra,
    put_headers,
    quiet,
    shown_code,
)

BEARER_VARIABLE: Final = "AWS_BEARER_TOKEN_BEDROCK"
SERVICE: Final = "bedrock"
RECHECK_S: Final = 300.0
"""Keys without an expiry may stand in a file that changes."""
_BEARER_PREFIXES: Final = ("ABSK", "bedrock-api-key-")
_AUTHS: Final = ("", "bearer", "sigv4")
_ADDED_HEADERS: Final = ("authorization", "x-amz-date", "x-amz-security-token")
_SESSION_NAME: Final = "tollway"
_ATTEMPTS: Final = 2
_SERVER_ERROR: Final = 500
_PASSING_CODES: Final = frozenset(
    ("Throttling", "ThrottlingException", "RequestLimitExceeded", "IDPCommunicationError")
)
_FORMS: Final = (
    "ACCESS_KEY_ID:SECRET_ACCESS_KEY, with :SESSION_TOKEN or without, or JSON with access_key_id, "
    "secret_access_key and session_token, or a key of Bedrock itself"
)


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """Keys of a user or of a session; `session_token` is "" for those of a user."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


class SigningCredential:
    """Signs requests with Signature Version 4: method, path as it is sent, query, body, and four headers at most."""

    __slots__ = ("_signer", "expire_time_s", "recheck_s")

    def __init__(
        self, keys: AccessKeys, region: str, *, expire_time_s: float | None = None, recheck_s: float | None = None
    ) -> None:
        """Raises CredentialError when the library is not installed."""
        with needs_extra("aws"):
            from botocore.auth import SigV4Auth
            from botocore.credentials import ReadOnlyCredentials
        quiet("botocore")
        known = ReadOnlyCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None, None)
        self._signer = SigV4Auth(known, SERVICE, region)
        self.expire_time_s = expire_time_s
        self.recheck_s = recheck_s

    def authorize(self, request: UpstreamRequest) -> None:
        from botocore.awsrequest import AWSRequest

        # The host header as the transport writes it, which the signer would make without a default port.
        headers = {"host": urlsplit(request.url).netloc, "content-type": request.headers["content-type"]}
        signed = AWSRequest("POST", request.url, headers, request.body)
        self._signer.add_auth(signed)
        put_headers(request, {name: signed.headers[name] for name in _ADDED_HEADERS if name in signed.headers})


class ChainSource:
    """Keys that are found or granted: a profile's, a role's, or those of the machine that the data plane runs on."""

    def __init__(self, identity: Identity, keys: AccessKeys | None) -> None:
        """`keys` are what a role is assumed with, None to find them."""
        self._identity = identity
        self._keys = keys
        self._found: Any = None

    def acquire(self) -> Credential:
        with needs_extra("aws"):
            import botocore.session  # noqa: F401
        quiet("botocore")
        found, self._found = self._found or self._find(), None
        frozen = found.get_frozen_credentials()
        keys = AccessKeys(frozen.access_key, frozen.secret_key, frozen.token or "")
        if not hasattr(found, "refresh_needed"):
            return SigningCredential(keys, self._identity.region, recheck_s=RECHECK_S)
        self._found = found
        # There is no public name for it; without it the library is asked anew, and refreshes what is about to expire.
        expire_time = getattr(found, "_expiry_time", None)
        expire_time_s = None if expire_time is None else expire_time.timestamp()
        return SigningCredential(keys, self._identity.region, expire_time_s=expire_time_s, recheck_s=RECHECK_S)

    def _find(self) -> Any:
        """The library's own credentials. Raises CredentialError when there are none."""
        session = self._session()
        role = self._identity.option("role_arn")
        if role and self._identity.option("web_identity_token_file"):
            return _of_web_identity(session, self._identity)
        found = session.get_credentials()
        if found is None:
            raise CredentialError(
                "finds no AWS credentials in the environment, the shared files, the container or the instance's role: "
                "give it a secret, or the pod or machine a role",
                is_lasting=True,
            )
        return _of_role(session, self._identity, found) if role else found

    def _session(self) -> Any:
        from botocore.config import Config
        from botocore.session import Session

        session = Session(profile=self._identity.option("profile") or None)
        session.set_config_variable("region", self._identity.region)
        session.set_default_client_config(
            Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            )
        )
        if self._keys is not None:
            keys = self._keys
            session.set_credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
        return session


def aws_source(identity: Identity, environ: Mapping[str, str] = os.environ) -> CredentialSource:
    """Where the credential comes from that `identity` asks for. Raises CredentialError when it asks for none."""
    if identity.option("auth") not in _AUTHS:
        raise CredentialError('has an option auth that is neither "bearer" nor "sigv4"', is_lasting=True)
    bearer_key = _bearer_key(identity, environ)
    if bearer_key:
        return KnownSource(HeaderCredential.bearer(bearer_key))
    if not identity.region:
        raise CredentialError("says no region to sign for: set its region", is_lasting=True)
    if identity.option("web_identity_token_file") and not identity.option("role_arn"):
        raise CredentialError("has an option web_identity_token_file without role_arn", is_lasting=True)
    keys = parse_keys(identity.secret.reveal()) if identity.secret else None
    if keys is not None and (identity.option("profile") or identity.option("web_identity_token_file")):
        raise CredentialError("has a secret besides a profile or a web identity: take one away", is_lasting=True)
    if keys is None or identity.option("role_arn"):
        return ChainSource(identity, keys)
    return KeysSource(keys, identity.region)


@dataclass(frozen=True, slots=True)
class KeysSource:
    """Keys that the upstream's secret holds."""

    keys: AccessKeys
    region: str

    def acquire(self) -> Credential:
        return SigningCredential(self.keys, self.region)


def parse_keys(secret: str) -> AccessKeys:
    """Keys out of an upstream's secret. Raises CredentialError when it has none of their forms."""
    text = secret.strip()
    if text.startswith("{"):
        return _keys_of_json(text)
    access_key_id, _, rest = text.partition(":")
    secret_access_key, _, session_token = rest.partition(":")
    if not access_key_id or not secret_access_key:
        raise CredentialError(f"has a secret that is none of {_FORMS}", is_lasting=True)
    return AccessKeys(access_key_id, secret_access_key, session_token)


def _keys_of_json(text: str) -> AccessKeys:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        said = {}
    values = [said.get(name) or "" for name in ("access_key_id", "secret_access_key", "session_token")]
    if not values[0] or not values[1] or not all(isinstance(value, str) for value in values):
        raise CredentialError(
            "has a secret that begins as JSON, and lacks access_key_id or secret_access_key", is_lasting=True
        )
    return AccessKeys(*values)


def _bearer_key(identity: Identity, environ: Mapping[str, str]) -> str:
    """The key that requests bear, "" when they are signed. What the upstream says goes before the environment."""
    secret, auth = identity.secret.reveal().strip(), identity.option("auth")
    if auth == "sigv4":
        return ""
    if secret:
        return secret if auth == "bearer" or secret.startswith(_BEARER_PREFIXES) else ""
    says_other = identity.option("profile") or identity.option("role_arn")
    key = "" if says_other and not auth else environ.get(BEARER_VARIABLE, "").strip()
    if auth == "bearer" and not key:
        raise CredentialError(
            f"has the option auth=bearer, but neither a secret nor {BEARER_VARIABLE} in the environment",
            is_lasting=True,
        )
    return key


def _of_web_identity(session: Any, identity: Identity) -> Any:
    from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher, DeferredRefreshableCredentials
    from botocore.utils import FileWebIdentityTokenLoader

    fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
        partial(session.create_client, region_name=identity.region),
        FileWebIdentityTokenLoader(identity.option("web_identity_token_file")),
        identity.option("role_arn"),
        extra_args=_role_session(identity),
    )
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role-with-web-identity")


def _of_role(session: Any, identity: Identity, source: Any) -> Any:
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    external_id = identity.option("external_id")
    fetcher = AssumeRoleCredentialFetcher(
        partial(session.create_client, region_name=identity.region),
        source,
        identity.option("role_arn"),
        extra_args=_role_session(identity) | ({"ExternalId": external_id} if external_id else {}),
    )
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")


def _role_session(identity: Identity) -> dict[str, str]:
    return {"RoleSessionName": identity.option("role_session_name") or _SESSION_NAME}


def problem_of(error: Exception) -> CredentialError:
    """What an error of the library means."""
    from botocore import exceptions

    unreachable = (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.MetadataRetrievalError,
        exceptions.CredentialRetrievalError,
    )
    if isinstance(error, exceptions.ClientError):
        return _refusal(error.response)
    if isinstance(error, exceptions.ProfileNotFound):
        return CredentialError("names a profile that the shared files do not have", is_lasting=True)
    if isinstance(error, unreachable):
        return CredentialError(f"cannot reach what grants it AWS credentials ({causes(error)})", is_lasting=False)
    if isinstance(error, OSError):
        return CredentialError(f"has a web_identity_token_file that cannot be read ({causes(error)})", is_lasting=True)
    return CredentialError(
        f"gets no AWS credentials ({causes(error)}): check its options, and the shared files",
        is_lasting=isinstance(error, exceptions.BotoCoreError),
    )


def _refusal(response: Mapping[str, Any]) -> CredentialError:
    code = response.get("Error", {}).get("Code", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return CredentialError(
        f"was refused by AWS STS ({shown_code(code)}): check its role_arn, the role's trust policy and its keys",
        is_lasting=code not in _PASSING_CODES and status < _SERVER_ERROR,
    )


AWS: Final = Cloud(
    "aws",
    ("auth", "profile", "role_arn", "role_session_name", "external_id", "web_identity_token_file"),
    aws_source,
    problem_of,
)
