"""Signatures as AWS computes them, and which credential an upstream asks for."""

from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.call import UpstreamRequest
from dataplane.credentials.aws import (
    BEARER_VARIABLE,
    SERVICE,
    AccessKeys,
    ChainSource,
    SigningCredential,
    aws_source,
    parse_keys,
    problem_of,
)
from dataplane.credentials.base import CredentialError, Identity
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.requests import upstream_request
from dataplane.snapshot import Secret, Target, Upstream
from tests.fakes.outcomes import make_call
from tests.unit.dataplane.credentials.signatures import SentRequest, authorization_of

REGION = "us-east-1"
KEYS = AccessKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SESSION_KEYS = AccessKeys("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token+with/signs==")
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12cd34"
JSON_SECRET = '{"access_key_id": "AK", "secret_access_key": "SK", "session_token": "ST"}'
NO_ENVIRON: dict[str, str] = {}


def bedrock_request(model: str, body: dict[str, Any]) -> UpstreamRequest:
    """What a dialect makes of a call to Bedrock."""
    provider = ProviderSpec(
        "bedrock",
        "bedrock",
        {"chat_completions": "/model/{model}/converse"},
        "https://bedrock-runtime.{region}.amazonaws.com",
        credentials="aws",
    )
    upstream = Upstream("upstreams/b", "b", "bedrock", "", REGION, {}, (), None, {}, Secret("AK:SK"))
    return upstream_request(make_call(), Target(upstream, model), provider, body)


def sent(request: UpstreamRequest) -> SentRequest:
    """As the transport sends it."""
    parts = urlsplit(request.url)
    return SentRequest(parts.path, {**request.headers, "host": parts.netloc}, request.body, parts.query)


def identity(secret: str = "", region: str = REGION, **options: str) -> Identity:
    return Identity("aws", region, Secret(secret), tuple(options.items()))


class OwnClient:
    """The library's whole client, which stops short of sending what it signed."""

    def __init__(self, keys: AccessKeys) -> None:
        session = botocore.session.Session()
        session.set_credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
        self._client = session.create_client("bedrock-runtime", region_name=REGION)
        self._client.meta.events.register("before-send.bedrock-runtime.*", self._keep)
        self.request: AWSPreparedRequest | None = None

    def _keep(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        self.request = request
        return AWSResponse(request.url, 400, {}, None)

    def converse(self, model: str) -> AWSPreparedRequest:
        try:
            self._client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "hi"}]}])
        except Exception:  # noqa: BLE001 - the answer is none
            assert self.request is not None
        return self.request


@pytest.mark.parametrize("keys", [KEYS, SESSION_KEYS], ids=["keys", "session"])
@pytest.mark.parametrize("model", [MODEL, ARN], ids=["id", "arn"])
def test_signature_is_that_of_the_whole_client(keys: AccessKeys, model: str) -> None:
    client, credential = OwnClient(keys), SigningCredential(keys, REGION)
    for _ in range(5):
        theirs = client.converse(model)
        ours = UpstreamRequest(theirs.url, {"content-type": theirs.headers["content-type"].decode()}, theirs.body)
        credential.authorize(ours)
        if ours.headers["x-amz-date"] == theirs.headers["x-amz-date"].decode():
            break
    assert "%3A" in ours.url
    assert bedrock_request(model, {}).url == ours.url
    assert ours.headers["authorization"] == theirs.headers["authorization"].decode()
    assert ours.headers.get("x-amz-security-token", "") == theirs.headers.get("x-amz-security-token", b"").decode()


@pytest.mark.parametrize("keys", [KEYS, SESSION_KEYS], ids=["keys", "session"])
def test_signature_is_that_of_the_definition(keys: AccessKeys) -> None:
    request = bedrock_request(MODEL, {"messages": ["ä"]})
    SigningCredential(keys, REGION).authorize(request)
    expected = authorization_of(sent(request), keys.access_key_id, keys.secret_access_key, REGION, SERVICE)
    assert request.headers["authorization"] == expected


@settings(max_examples=60, deadline=None)
@given(
    st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable() and text.strip(".")),
    st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3),
)
def test_any_model_and_body_are_signed_as_they_are_sent(model: str, body: dict[str, str]) -> None:
    request = bedrock_request(model, body)
    SigningCredential(KEYS, REGION).authorize(request)
    expected = authorization_of(sent(request), KEYS.access_key_id, KEYS.secret_access_key, REGION, SERVICE)
    assert request.headers["authorization"] == expected


def test_only_four_headers_are_signed() -> None:
    request = bedrock_request(MODEL, {})
    request.headers |= {"x-custom": "1", "Authorization": "Bearer from an admin"}
    SigningCredential(SESSION_KEYS, REGION).authorize(request)
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token," in request.headers["authorization"]
    assert [name for name in request.headers if name.lower() == "authorization"] == ["authorization"]
    assert request.headers["x-amz-security-token"] == SESSION_KEYS.session_token
    assert "host" not in request.headers


@pytest.mark.parametrize("url", ["http://127.0.0.1:8099/model/m/converse", "https://proxy.example.com:443/b/model/m"])
def test_host_is_signed_with_the_port_that_is_sent(url: str) -> None:
    request = UpstreamRequest(url, {"content-type": "application/json"}, b"{}")
    SigningCredential(KEYS, REGION).authorize(request)
    expected = authorization_of(sent(request), KEYS.access_key_id, KEYS.secret_access_key, REGION, SERVICE)
    assert request.headers["authorization"] == expected


def test_signing_again_replaces_the_signature() -> None:
    request = bedrock_request(MODEL, {})
    SigningCredential(SESSION_KEYS, REGION).authorize(request)
    request.headers.pop("x-amz-security-token")
    SigningCredential(KEYS, REGION).authorize(request)
    expected = authorization_of(sent(request), KEYS.access_key_id, KEYS.secret_access_key, REGION, SERVICE)
    assert request.headers["authorization"] == expected


@pytest.mark.parametrize(
    ("secret", "keys"),
    [
        ("AK:SK", AccessKeys("AK", "SK")),
        ("AK:SK:ST==", AccessKeys("AK", "SK", "ST==")),
        ("  AK:SK\n", AccessKeys("AK", "SK")),
        (JSON_SECRET, AccessKeys("AK", "SK", "ST")),
        ('{"access_key_id": "AK", "secret_access_key": "SK", "session_token": null}', AccessKeys("AK", "SK")),
    ],
)
def test_keys_have_three_forms(secret: str, keys: AccessKeys) -> None:
    assert parse_keys(secret) == keys


@pytest.mark.parametrize("secret", ["nothing", "AK:", ":SK", "{", "{}", '{"access_key_id": 1, "secret_access_key": 2}'])
def test_other_secrets_are_refused(secret: str) -> None:
    with pytest.raises(CredentialError) as caught:
        aws_source(identity(secret), NO_ENVIRON)
    assert caught.value.is_lasting
    assert secret not in str(caught.value) or len(secret) < 3


@given(st.text(min_size=8, max_size=60).map(lambda text: f"canary{text}"))
def test_no_secret_is_ever_in_an_error(secret: str) -> None:
    try:
        parse_keys(secret)
    except CredentialError as error:
        assert secret not in str(error)


@pytest.mark.parametrize(
    ("asked", "environ"),
    [
        (identity("ABSKsecret"), NO_ENVIRON),
        (identity("ABSKsecret", region=""), {BEARER_VARIABLE: "other"}),
        (identity("bedrock-api-key-secret"), NO_ENVIRON),
        (identity("anything", auth="bearer"), NO_ENVIRON),
        (identity(), {BEARER_VARIABLE: "of-the-environment"}),
        (identity(auth="bearer", profile="p"), {BEARER_VARIABLE: "of-the-environment"}),
    ],
)
def test_bearer_keys(asked: Identity, environ: dict[str, str]) -> None:
    request = bedrock_request(MODEL, {})
    credential = aws_source(asked, environ).acquire()
    credential.authorize(request)
    key = asked.secret.reveal() or environ[BEARER_VARIABLE]
    assert request.headers["authorization"] == f"Bearer {key}"
    assert "x-amz-date" not in request.headers
    assert (credential.expire_time_s, credential.recheck_s) == (None, None)


@pytest.mark.parametrize(
    ("asked", "environ"),
    [
        (identity("AK:SK"), {BEARER_VARIABLE: "of-the-environment"}),
        (identity(JSON_SECRET), NO_ENVIRON),
        (identity("AK:SK", auth="sigv4"), NO_ENVIRON),
    ],
)
def test_keys_of_the_secret_sign(asked: Identity, environ: dict[str, str]) -> None:
    request = bedrock_request(MODEL, {})
    credential = aws_source(asked, environ).acquire()
    credential.authorize(request)
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")
    assert (credential.expire_time_s, credential.recheck_s) == (None, None)


@pytest.mark.parametrize(
    ("asked", "environ"),
    [
        (identity(), NO_ENVIRON),
        (identity(auth="sigv4"), {BEARER_VARIABLE: "of-the-environment"}),
        (identity(profile="p"), {BEARER_VARIABLE: "of-the-environment"}),
        (identity(role_arn="r", web_identity_token_file="/f"), {BEARER_VARIABLE: "of-the-environment"}),
        (identity("AK:SK", role_arn="r"), NO_ENVIRON),
    ],
)
def test_others_are_looked_up(asked: Identity, environ: dict[str, str]) -> None:
    assert isinstance(aws_source(asked, environ), ChainSource)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (identity(auth="basic"), "option auth"),
        (identity(auth="bearer"), BEARER_VARIABLE),
        (identity("AK:SK", region=""), "region"),
        (identity(region=""), "region"),
        (identity(web_identity_token_file="/f"), "role_arn"),
        (identity("AK:SK", profile="p"), "profile"),
        (identity("AK:SK", role_arn="r", web_identity_token_file="/f"), "web identity"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: Identity, words: str) -> None:
    with pytest.raises(CredentialError, match=words) as caught:
        aws_source(asked, NO_ENVIRON)
    assert caught.value.is_lasting


def refusal(code: str, status: int) -> ClientError:
    response = {"Error": {"Code": code, "Message": "canary"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "AssumeRole")


@pytest.mark.parametrize(
    ("error", "words", "is_lasting"),
    [
        (refusal("AccessDenied", 403), "AccessDenied", True),
        (refusal("ThrottlingException", 400), "ThrottlingException", False),
        (refusal("InternalFailure", 500), "InternalFailure", False),
        (ProfileNotFound(profile="canary"), "profile", True),
        (ConnectTimeoutError(endpoint_url="https://canary"), "cannot reach", False),
        (FileNotFoundError(2, "canary", "/canary"), "web_identity_token_file", True),
        (NoCredentialsError(), "NoCredentialsError", True),
        (PartialCredentialsError(provider="canary", cred_var="canary"), "PartialCredentialsError", True),
        (RuntimeError("canary"), "RuntimeError", False),
    ],
)
def test_errors_of_the_library_are_told_in_own_words(error: Exception, words: str, is_lasting: bool) -> None:
    problem = problem_of(error)
    assert words in str(problem)
    assert "canary" not in str(problem)
    assert problem.is_lasting is is_lasting


def test_keys_are_not_in_reprs() -> None:
    shown = repr((SESSION_KEYS, SigningCredential(SESSION_KEYS, REGION), aws_source(identity("AK:SK"), NO_ENVIRON)))
    assert SESSION_KEYS.secret_access_key not in shown
    assert SESSION_KEYS.session_token not in shown
    assert "SK" not in shown.replace("AccessKeys", "").replace("KeysSource", "")
