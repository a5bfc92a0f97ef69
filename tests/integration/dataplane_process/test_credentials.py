"""Credentials as the clouds' libraries get them from services on the loopback interface, and as they arrive."""

import asyncio
import base64
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from dataplane.call import UpstreamRequest
from dataplane.credentials.account import LONGEST_RETRY_S, REFRESH_AHEAD_S
from dataplane.credentials.keeper import CLOUDS, CredentialKeeper
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.requests import upstream_request
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Secret, Snapshot, Target, Upstream
from dataplane.upstream.transport import Transport
from tests.fakes.outcomes import UPSTREAM, make_call
from tests.unit.dataplane.credentials.signatures import SentRequest, authorization_of

REGION = "eu-central-1"
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ROLE = "arn:aws:iam::123456789012:role/tollway"
EMAIL = "gateway@project.iam.gserviceaccount.com"
CANARY = "canary-7f3a"
PROVIDERS = {
    row.name: row
    for row in (
        ProviderSpec("bedrock", "bedrock", {"chat_completions": "/model/{model}/converse"}, credentials="aws"),
        ProviderSpec("vertex-ai", "gemini", {}, credentials="google"),
    )
}
STS_ANSWER = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>
<AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>secret-{number}</SecretAccessKey>
<SessionToken>token-{number}</SessionToken><Expiration>{expiration}</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/tollway/s</Arn><AssumedRoleId>A:s</AssumedRoleId>
</AssumedRoleUser></{action}Result></{action}Response>"""
STS_REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>canary-7f3a</Message></Error></ErrorResponse>"""


class Clock:
    """The wall clock, which a test may move on."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class FakeHolder:
    current: Snapshot | None = None


@dataclass
class Clouds:
    """What grants credentials, on one port; `asked` are the requests by path, with their form where there is one."""

    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    is_refusing: bool = False
    lifetime_s: float = 3600.0
    url: str = ""

    def __post_init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/", self._sts)
        app.router.add_put("/latest/api/token", self._instance_session)
        app.router.add_get("/latest/meta-data/iam/security-credentials/{role:.*}", self._instance)
        app.router.add_get("/container", self._container)
        app.router.add_post("/token", self._google)
        app.router.add_post("/exchange", self._google)
        app.router.add_get("/computeMetadata/v1/{rest:.*}", self._google_machine)
        app.router.add_get("/", self._google_machine)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return runner

    def asked_of(self, path: str) -> list[dict[str, str]]:
        return [form for asked, form in self.asked if asked == path]

    async def _note(self, request: web.Request) -> int:
        form = await request.post() if request.method == "POST" else {}
        self.asked.append((request.path, {name: str(value) for name, value in form.items()}))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return len(self.asked_of(request.path))

    def _expiration(self) -> str:
        return (datetime.now(UTC) + timedelta(seconds=self.lifetime_s)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _keys(self, number: int) -> dict[str, str]:
        return {
            "Code": "Success",
            "AccessKeyId": f"ASIA{number}",
            "SecretAccessKey": f"secret-{number}",
            "Token": f"token-{number}",
            "Expiration": self._expiration(),
        }

    async def _sts(self, request: web.Request) -> web.Response:
        number = await self._note(request)
        if self.is_refusing:
            return web.Response(status=403, text=STS_REFUSAL, content_type="text/xml")
        action = self.asked_of("/")[-1]["Action"]
        answer = STS_ANSWER.format(action=action, number=number, expiration=self._expiration())
        return web.Response(text=answer, content_type="text/xml")

    async def _instance_session(self, request: web.Request) -> web.Response:
        return web.Response(text="session")

    async def _instance(self, request: web.Request) -> web.Response:
        assert request.headers["x-aws-ec2-metadata-token"] == "session"
        if not request.match_info["role"]:
            return web.Response(text="the-role")
        return web.json_response(self._keys(await self._note(request)))

    async def _container(self, request: web.Request) -> web.Response:
        return web.json_response(self._keys(await self._note(request)))

    async def _google(self, request: web.Request) -> web.Response:
        number = await self._note(request)
        if self.is_refusing:
            return web.json_response({"error": "invalid_grant", "error_description": CANARY}, status=400)
        answer = {"access_token": f"ya29.{number}", "expires_in": self.lifetime_s, "token_type": "Bearer"}
        return web.json_response(answer | {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})

    async def _google_machine(self, request: web.Request) -> web.Response:
        headers = {"metadata-flavor": "Google"}
        if request.path.endswith("/token"):
            number = await self._note(request)
            answer = {"access_token": f"ya29.m{number}", "expires_in": self.lifetime_s, "token_type": "Bearer"}
            return web.json_response(answer, headers=headers)
        if request.path.endswith("/service-accounts/default/"):
            return web.json_response({"email": EMAIL, "scopes": [], "aliases": []}, headers=headers)
        return web.Response(text="project", headers=headers)

    def service_account(self) -> str:
        """The JSON of an account whose tokens are had here."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "project",
                "private_key_id": "key-1",
                "private_key": pem.decode(),
                "client_email": EMAIL,
                "token_uri": f"{self.url}/token",
            }
        )

    def claims(self, assertion: str) -> dict[str, Any]:
        """What `assertion` says. Raises InvalidSignature when it is not of this account's key."""
        signed, _, signature = assertion.rpartition(".")
        self.key.public_key().verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        claims: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
        return claims


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Keeping:
    """A keeper that runs, for one upstream at a time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.holder = FakeHolder()
        self.keeper = CredentialKeeper(self.holder, PROVIDERS, CLOUDS, self.clock, self.clock, interval_s=0.01)

    def hold(self, upstream: Upstream) -> None:
        self.holder.current = Snapshot(upstreams={upstream.id: upstream})

    async def settle(self, upstream: Upstream) -> None:
        self.hold(upstream)
        await until(lambda: self.keeper.is_settled)

    def headers(self, upstream: Upstream) -> dict[str, str]:
        """Headers that a request is given. Raises UpstreamError."""
        request = UpstreamRequest("https://cloud.example.com/x", {"content-type": "application/json"}, b"{}")
        self.keeper.authorize(request, upstream, PROVIDERS[upstream.provider])
        return request.headers

    def token(self, upstream: Upstream) -> str:
        """The token that a request is given, "" while there is none."""
        with suppress(UpstreamError):
            headers = self.headers(upstream)
            return headers.get("x-amz-security-token") or headers["authorization"]
        return ""


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The environment without any credential of a cloud."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "GCE_", "CLOUDSDK_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest_asyncio.fixture
async def clouds(environ: pytest.MonkeyPatch) -> AsyncIterator[Clouds]:
    made = Clouds()
    runner = await made.start()
    environ.setenv("AWS_ENDPOINT_URL_STS", made.url)
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def keeping(environ: pytest.MonkeyPatch) -> AsyncIterator[Keeping]:
    made = Keeping()
    task = asyncio.create_task(made.keeper.run())
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def bedrock(secret: str = "", **options: str) -> Upstream:
    return replace(
        UPSTREAM, id="bedrock", provider="bedrock", region=REGION, options=options, secret=Secret(secret), base_url=""
    )


def vertex(secret: str = "") -> Upstream:
    return replace(UPSTREAM, id="vertex", provider="vertex-ai", secret=Secret(secret))


async def test_web_identity(clouds: Clouds, keeping: Keeping, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("first-jwt")
    upstream = bedrock(role_arn=ROLE, web_identity_token_file=str(token_file))
    await keeping.settle(upstream)
    assert keeping.token(upstream) == "token-1"
    assert "Credential=ASIA1/" in keeping.headers(upstream)["authorization"]
    forms = clouds.asked_of("/")
    assert [form["WebIdentityToken"] for form in forms] == ["first-jwt"]
    assert (forms[0]["Action"], forms[0]["RoleArn"]) == ("AssumeRoleWithWebIdentity", ROLE)
    assert forms[0]["RoleSessionName"] == "tollway"


async def test_web_identity_is_renewed_from_the_file_as_it_is_then(
    clouds: Clouds, keeping: Keeping, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("first-jwt")
    clouds.lifetime_s = REFRESH_AHEAD_S - 10
    upstream = bedrock(role_arn=ROLE, web_identity_token_file=str(token_file), role_session_name="gateway")
    await keeping.settle(upstream)
    token_file.write_text("second-jwt")
    keeping.clock.ahead_s = 11
    await until(lambda: keeping.token(upstream) == "token-2")
    assert [form["WebIdentityToken"] for form in clouds.asked_of("/")] == ["first-jwt", "second-jwt"]
    assert clouds.asked_of("/")[0]["RoleSessionName"] == "gateway"


async def test_refused_role_is_told_without_the_cloud_s_words(
    clouds: Clouds, keeping: Keeping, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "token").write_text("jwt-canary-7f3a")
    clouds.is_refusing = True
    upstream = bedrock(role_arn=ROLE, web_identity_token_file=str(tmp_path / "token"))
    await keeping.settle(upstream)
    with pytest.raises(UpstreamError, match=r"AccessDenied.*trust policy") as caught:
        keeping.headers(upstream)
    assert caught.value.kind is UpstreamErrorKind.AUTH
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "upstreams=bedrock" in line
    assert CANARY not in caplog.text
    clouds.is_refusing = False
    keeping.clock.ahead_s = LONGEST_RETRY_S
    await until(lambda: keeping.token(upstream) != "")


async def test_missing_token_file_is_told(clouds: Clouds, keeping: Keeping, tmp_path: Path) -> None:
    upstream = bedrock(role_arn=ROLE, web_identity_token_file=str(tmp_path / "none"))
    await keeping.settle(upstream)
    with pytest.raises(UpstreamError, match="web_identity_token_file"):
        keeping.headers(upstream)


async def test_role_of_keys(clouds: Clouds, keeping: Keeping) -> None:
    upstream = bedrock("AKSTATIC:SECRET", role_arn=ROLE, external_id="ext-1")
    await keeping.settle(upstream)
    assert keeping.token(upstream) == "token-1"
    (form,) = clouds.asked_of("/")
    assert (form["Action"], form["RoleArn"], form["ExternalId"]) == ("AssumeRole", ROLE, "ext-1")
    assert "Credential=AKSTATIC/" in clouds.headers[0]["authorization"]


async def test_instance_role(clouds: Clouds, keeping: Keeping, environ: pytest.MonkeyPatch) -> None:
    environ.delenv("AWS_EC2_METADATA_DISABLED")
    environ.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", clouds.url)
    upstream = bedrock()
    await keeping.settle(upstream)
    assert keeping.token(upstream) == "token-1"
    assert f"/{REGION}/bedrock/aws4_request" in keeping.headers(upstream)["authorization"]


async def test_container(clouds: Clouds, keeping: Keeping, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{clouds.url}/container")
    environ.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token")
    upstream = bedrock()
    await keeping.settle(upstream)
    assert keeping.token(upstream) == "token-1"
    assert clouds.headers[0]["authorization"] == "pod-token"


async def test_profile(keeping: Keeping, environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environ.setenv("AWS_ACCESS_KEY_ID", "OF-THE-ENVIRONMENT")
    environ.setenv("AWS_SECRET_ACCESS_KEY", "s")
    shared = tmp_path / "aws-credentials"
    shared.write_text("[gateway]\naws_access_key_id = FIRST\naws_secret_access_key = s\n")
    upstream = bedrock(profile="gateway")
    await keeping.settle(upstream)
    assert "Credential=FIRST/" in keeping.headers(upstream)["authorization"]
    shared.write_text("[gateway]\naws_access_key_id = SECOND\naws_secret_access_key = s\n")
    keeping.clock.ahead_s = 301
    await until(lambda: "Credential=SECOND/" in keeping.token(upstream))


async def test_profile_that_is_not_there(keeping: Keeping) -> None:
    await keeping.settle(bedrock(profile="none"))
    with pytest.raises(UpstreamError, match="profile"):
        keeping.headers(bedrock(profile="none"))


async def test_environment(keeping: Keeping, environ: pytest.MonkeyPatch) -> None:
    environ.setenv("AWS_ACCESS_KEY_ID", "OF-THE-ENVIRONMENT")
    environ.setenv("AWS_SECRET_ACCESS_KEY", "s")
    await keeping.settle(bedrock())
    assert "Credential=OF-THE-ENVIRONMENT/" in keeping.headers(bedrock())["authorization"]


async def test_nothing_anywhere(keeping: Keeping) -> None:
    await keeping.settle(bedrock())
    with pytest.raises(UpstreamError, match=r'"bedrock" finds no AWS credentials .* give it a secret') as caught:
        keeping.headers(bedrock())
    assert caught.value.kind is UpstreamErrorKind.AUTH


async def test_service_that_hangs_holds_nobody_up(
    keeping: Keeping, environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hanging: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.append(writer)

    (tmp_path / "token").write_text("the-jwt")
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    environ.setenv("AWS_ENDPOINT_URL_STS", f"http://{host}:{port}")
    upstream = bedrock(role_arn=ROLE, web_identity_token_file=str(tmp_path / "token"))
    keeping.hold(upstream)
    await until(lambda: bool(hanging))
    start_s = time.monotonic()
    with pytest.raises(UpstreamError, match="still being acquired"):
        keeping.headers(upstream)
    assert time.monotonic() - start_s < 0.1
    server.close()
    for writer in hanging:
        writer.transport.abort()
    await until(lambda: keeping.keeper.is_settled)
    with pytest.raises(UpstreamError, match="cannot reach") as caught:
        keeping.headers(upstream)
    assert caught.value.kind is UpstreamErrorKind.CONNECT


async def test_google_service_account(clouds: Clouds, keeping: Keeping) -> None:
    upstream = vertex(clouds.service_account())
    await keeping.settle(upstream)
    assert keeping.headers(upstream)["authorization"] == "Bearer ya29.1"
    claims = clouds.claims(clouds.asked_of("/token")[0]["assertion"])
    assert claims["iss"] == EMAIL
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    keeping.clock.ahead_s = 3600 - REFRESH_AHEAD_S - 30
    await asyncio.sleep(0.1)
    assert keeping.token(upstream) == "Bearer ya29.1"
    keeping.clock.ahead_s = 3600 - REFRESH_AHEAD_S
    await until(lambda: keeping.token(upstream) == "Bearer ya29.2")


async def test_google_refusal_is_told_without_the_cloud_s_words(
    clouds: Clouds, keeping: Keeping, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clouds.is_refusing = True
    upstream = vertex(clouds.service_account())
    await keeping.settle(upstream)
    with pytest.raises(UpstreamError, match="invalid_grant") as caught:
        keeping.headers(upstream)
    assert caught.value.kind is UpstreamErrorKind.AUTH
    assert CANARY not in caplog.text
    assert "PRIVATE KEY" not in caplog.text


async def test_google_endpoint_that_is_not_there(keeping: Keeping, clouds: Clouds) -> None:
    account = json.loads(clouds.service_account()) | {"token_uri": "http://127.0.0.1:9/token"}
    upstream = vertex(json.dumps(account))
    await keeping.settle(upstream)
    with pytest.raises(UpstreamError, match="cannot reach") as caught:
        keeping.headers(upstream)
    assert caught.value.kind is UpstreamErrorKind.CONNECT


async def test_google_workload_identity(clouds: Clouds, keeping: Keeping, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("pod-jwt")
    upstream = vertex(
        json.dumps(
            {
                "type": "external_account",
                "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": f"{clouds.url}/exchange",
                "credential_source": {"file": str(tmp_path / "token")},
            }
        )
    )
    await keeping.settle(upstream)
    assert keeping.headers(upstream)["authorization"] == "Bearer ya29.1"
    assert clouds.asked_of("/exchange")[0]["subject_token"] == "pod-jwt"


async def test_google_file_that_the_environment_names(
    clouds: Clouds, keeping: Keeping, environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "account.json").write_text(clouds.service_account())
    environ.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    await keeping.settle(vertex())
    assert keeping.headers(vertex())["authorization"] == "Bearer ya29.1"


async def test_google_machine(clouds: Clouds, keeping: Keeping, environ: pytest.MonkeyPatch) -> None:
    place = clouds.url.removeprefix("http://")
    environ.setenv("GCE_METADATA_HOST", place)
    environ.setenv("GCE_METADATA_IP", place)
    await keeping.settle(vertex())
    assert keeping.headers(vertex())["authorization"] == "Bearer ya29.m1"


@asynccontextmanager
async def listening(answer: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[str]:
    """A server that answers the bytes of one request; the URL that it is at."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        writer.write(await answer(head + await reader.readexactly(length)))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"


def parse_request(raw: bytes) -> SentRequest:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    path, _, query = line.split(" ")[1].partition("?")
    return SentRequest(
        path, {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}, body, query
    )


async def test_signature_is_that_of_the_bytes_that_arrive(keeping: Keeping) -> None:
    arrived: list[SentRequest] = []

    async def answer(raw: bytes) -> bytes:
        arrived.append(parse_request(raw))
        return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"

    async with listening(answer) as url:
        upstream = replace(bedrock("AKSTATIC:SECRET:SESSION"), base_url=url)
        await keeping.settle(upstream)
        request = upstream_request(make_call(), Target(upstream, MODEL), PROVIDERS["bedrock"], {"messages": ["ü"]})
        keeping.keeper.authorize(request, upstream, PROVIDERS["bedrock"])
        transport = Transport()
        response = await transport.send(request, time.monotonic() + 5)
        response.release()
        transport.close()
    (received,) = arrived
    assert received.path == f"/model/{MODEL.replace(':', '%3A')}/converse"
    assert received.headers["x-amz-security-token"] == "SESSION"
    assert received.headers["authorization"] == authorization_of(received, "AKSTATIC", "SECRET", REGION, "bedrock")
