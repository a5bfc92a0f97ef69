"""Whatever comes in: the documented error, quickly, and nothing else is harmed."""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio

from tests.e2e.rawhttp import Ask, connected, exchange
from tests.e2e.stack import Admin, Stack, eventually
from tests.fakes.admin_api import run_tollctl
from tollctl.local.ports import find_free_port
from tollway.kernel.keys import make_virtual_key

QUICK_S = 5.0
GROWTH_MIB = 50
HUGE_BYTES = 100_000_000
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "x"}]
GOOD = json.dumps({"model": "sim/echo", "messages": MESSAGES}).encode()
FREE_PORTS = ("--port=0", "--admin-port=0", "--grpc-port=0", "--metrics-port=0")


def gateway(stack: Stack) -> str:
    return str(stack.info["openai_base_url"]).removesuffix("/v1")


def resident_mib(stack: Stack) -> float:
    status = Path(f"/proc/{stack.read_info()['pids']['dataplane']}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


@pytest_asyncio.fixture(autouse=True)
async def unharmed(stack: Stack) -> AsyncIterator[None]:
    """After each test a normal call works, in the same process, and that has not grown."""
    pid, before_mib = stack.info["pids"]["dataplane"], resident_mib(stack)
    yield
    reply = await exchange(gateway(stack), Ask(CHAT, GOOD).render(stack.info["demo_key"]), within_s=QUICK_S)
    assert (reply.status, reply.is_closed) == (200, True)
    assert stack.read_info()["pids"]["dataplane"] == pid
    assert resident_mib(stack) - before_mib < GROWTH_MIB


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "sim/echo", "messages": MESSAGES, **fields}).encode()


DEEP = b'{"model": "sim/echo", "messages": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
BELOW_THE_PARSERS_BOUND = b'{"model": "sim/echo", "messages": ' + b"[" * 100 + b"]" * 100 + b"}"


@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        pytest.param(Ask(CHAT, b'{"model": '), 400, "invalid_json", id="malformed JSON"),
        pytest.param(Ask(CHAT), 400, "invalid_json", id="no body"),
        pytest.param(Ask(CHAT, b"[]"), 400, "invalid_json", id="an array"),
        pytest.param(Ask(CHAT, b'{"model": NaN}'), 400, "invalid_json", id="NaN"),
        pytest.param(Ask(CHAT, b'{"model": "\xff"}'), 400, "invalid_json", id="not UTF-8"),
        pytest.param(Ask(CHAT, GOOD.decode().encode("utf-16")), 400, "invalid_json", id="UTF-16"),
        pytest.param(Ask(CHAT, b'{"model": "\\ud800"}'), 400, "invalid_json", id="a lone surrogate"),
        pytest.param(Ask(CHAT, body(seed=10**400)), 400, "invalid_json", id="an infinite number"),
        pytest.param(Ask(CHAT, body(seed=2**64)), 400, "invalid_request", id="an integer of 65 bits"),
        pytest.param(Ask(CHAT, b"{}"), 400, "missing_required_parameter", id="no model"),
        pytest.param(Ask(CHAT, body(model=1)), 400, "invalid_type", id="a model that is a number"),
        pytest.param(Ask(CHAT, body(stream="yes")), 400, "invalid_type", id="stream that is a string"),
        pytest.param(Ask(CHAT, body(stream_options=1)), 400, "invalid_type", id="options that are a number"),
        pytest.param(Ask(CHAT, body(messages="x")), 400, "invalid_type", id="messages that are a string"),
        pytest.param(Ask(CHAT, body(messages=[1])), 400, "invalid_type", id="a message that is a number"),
        pytest.param(Ask(CHAT, DEEP), 400, "invalid_json", id="10,000 levels"),
        pytest.param(Ask(CHAT, BELOW_THE_PARSERS_BOUND), 400, "invalid_request", id="100 levels"),
        pytest.param(Ask(CHAT, b"[" * 1_000_000), 400, "invalid_request", id="a million open brackets"),
        pytest.param(Ask(CHAT, b"{}" + b" " * (8 << 20)), 413, "request_too_large", id="more than 8 MiB"),
        pytest.param(Ask(CHAT, GOOD, headers=("Content-Encoding: gzip",)), 415, "unsupported_encoding", id="gzip"),
        pytest.param(
            Ask(CHAT, GOOD, headers=("Content-Encoding: identity", "Content-Encoding: gzip")),
            415,
            "unsupported_encoding",
            id="a second encoding",
        ),
        pytest.param(Ask(CHAT, body(model="nowhere/x")), 404, "model_not_found", id="unknown model"),
        pytest.param(Ask(CHAT, body(model="sim/\0")), 400, "invalid_value", id="NUL in the model"),
        pytest.param(Ask(CHAT, body(model="x" * 1_000_000)), 404, "model_not_found", id="a model of a megabyte"),
        pytest.param(Ask("/v1/models/" + "%ff%00%zz", method="GET"), 404, "model_not_found", id="odd escapes"),
        pytest.param(Ask("/v1/chat%2Fcompletions", GOOD), 404, "unknown_url", id="an escaped slash"),
        pytest.param(Ask("/v1/../v1/chat/completions", GOOD), 404, "unknown_url", id="dots in the path"),
        pytest.param(Ask("/" + CHAT, GOOD), 404, "unknown_url", id="two slashes"),
        pytest.param(Ask("/v1/responses", GOOD), 404, "not_supported", id="not yet"),
        pytest.param(Ask(CHAT, method="GET"), 405, "method_not_allowed", id="GET"),
        pytest.param(Ask(CHAT, method="OPTIONS"), 405, "method_not_allowed", id="OPTIONS"),
        pytest.param(Ask("gateway.example:443", method="CONNECT"), 404, "unknown_url", id="CONNECT"),
        pytest.param(Ask(CHAT, GOOD, headers=("X-Tollway-Metadata: [1]",)), 400, "invalid_header", id="metadata"),
        pytest.param(Ask(CHAT, GOOD, headers=("X-Tollway-Timeout-Ms: -5",)), 400, "invalid_header", id="timeout"),
    ],
)
async def test_a_bad_request_is_told_in_openais_shape(stack: Stack, ask: Ask, status: int, code: str) -> None:
    reply = await exchange(gateway(stack), ask.render(stack.info["demo_key"]), within_s=QUICK_S)
    assert (reply.status, reply.is_closed) == (status, True), reply.raw[:500]
    error = json.loads(reply.body)["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}
    assert len(error["message"]) < 300
    assert reply.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "mistaken-0123456789",
        "sk-proj-0123456789",
        "caf\xe9\xff",
        "twa_" + "0" * 40,
        make_virtual_key(secrets.randbelow),
    ],
    ids=["none", "wrong", "a provider's", "not ASCII", "an admin token", "another gateway's"],
)
async def test_a_foreign_key_is_refused_and_not_repeated(stack: Stack, key: str) -> None:
    reply = await exchange(gateway(stack), Ask(CHAT, GOOD).render(key), within_s=QUICK_S)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (401, "invalid_api_key")
    assert not key or key.encode("latin-1") not in reply.raw


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(Ask(CHAT, GOOD, headers=tuple(f"X-{n}: {n}" for n in range(200))), id="200 headers"),
        pytest.param(Ask(CHAT, GOOD, headers=("X-A: " + "canary" * 4000,)), id="a header of 24 kB"),
        pytest.param(Ask(CHAT, GOOD, headers=("canary" * 4000 + ": a",)), id="a header name of 24 kB"),
        pytest.param(Ask("/" + "canary" * 4000, GOOD), id="a path of 24 kB"),
        pytest.param(Ask(CHAT, GOOD, headers=tuple(f"X-{n}: " + "canary" * 1000 for n in range(500))), id="3 MB"),
        pytest.param(Ask(CHAT, GOOD, headers=("X-A: can\0ary",)), id="NUL in a header"),
        pytest.param(Ask(CHAT, GOOD, headers=("canary without a colon",)), id="a header without a colon"),
        pytest.param(Ask(CHAT, GOOD, host=None), id="no Host"),
        pytest.param(Ask(CHAT, GOOD, headers=("Host: canary.example",)), id="two Hosts"),
        pytest.param(Ask(CHAT, GOOD, version="canary"), id="no such version"),
        pytest.param(Ask(CHAT, GOOD, method="CANARY"), id="no such method"),
        pytest.param(Ask(CHAT, GOOD, framing="Content-Length: -1"), id="a negative length"),
        pytest.param(Ask(CHAT, GOOD, headers=("Content-Length: 5",)), id="two lengths"),
        pytest.param(Ask(CHAT, GOOD, headers=("Transfer-Encoding: chunked",)), id="length and chunks"),
        pytest.param(Ask(CHAT, GOOD, framing="Transfer-Encoding: gzip, chunked"), id="encoded chunks"),
        pytest.param(Ask(CHAT, b"canary", framing="Transfer-Encoding: chunked"), id="no chunk"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary" + b"\0" * 200, id="TLS"),
        pytest.param(b"canary hello\r\n\r\n", id="no HTTP"),
    ],
)
async def test_what_is_not_http_gets_a_bare_400_and_a_closed_connection(stack: Stack, raw: Ask | bytes) -> None:
    sent = raw if isinstance(raw, bytes) else raw.render(stack.info["demo_key"])
    reply = await exchange(gateway(stack), sent, within_s=QUICK_S)
    assert (reply.status, reply.body, reply.is_closed) == (400, b"", True), reply.raw[:500]
    assert b"canary" not in reply.raw


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(Ask(f"http://elsewhere.example{CHAT}", GOOD), id="an absolute target"),
        pytest.param(Ask(CHAT, GOOD, host='a b"<script>'), id="an odd Host"),
        pytest.param(Ask(CHAT, GOOD, host="169.254.169.254"), id="a foreign Host"),
        pytest.param(Ask(CHAT, GOOD, version="1.0"), id="HTTP/1.0"),
        pytest.param(Ask("/v1/chat/%63ompletions", GOOD), id="an escaped letter"),
        pytest.param(Ask(CHAT + "?a=%ff&a", GOOD), id="a query"),
        pytest.param(Ask(CHAT, GOOD, headers=("X-Tollway-User: caf\xe9\xff", "X-Request-Id: \xff")), id="odd bytes"),
        pytest.param(Ask(CHAT, GOOD, headers=("Upgrade: websocket", "Connection: upgrade")), id="an upgrade"),
        pytest.param(Ask(CHAT, body(base_url="http://169.254.169.254", api_key="x")), id="a target in the body"),
    ],
)
async def test_what_is_odd_but_well_formed_is_served_here_and_nowhere_else(stack: Stack, ask: Ask) -> None:
    reply = await exchange(gateway(stack), ask.render(stack.info["demo_key"]), within_s=QUICK_S)
    assert (reply.status, reply.headers["x-tollway-upstream"]) == (200, "sim"), reply.raw[:500]


async def test_head_has_no_body(stack: Stack) -> None:
    ask = Ask("/v1/models", method="HEAD")
    reply = await exchange(gateway(stack), ask.render(stack.info["demo_key"]), within_s=QUICK_S)
    assert (reply.status, reply.body, reply.is_closed) == (405, b"", True)


async def test_pipelined_requests_are_answered_in_turn(stack: Stack) -> None:
    key = stack.info["demo_key"]
    contents = [f"turn-{n}" for n in range(5)]
    asks = [
        Ask(CHAT, body(messages=[{"role": "user", "content": content}]), is_last=content == contents[-1])
        for content in contents
    ]
    reply = await exchange(gateway(stack), b"".join(ask.render(key) for ask in asks), within_s=QUICK_S)
    assert reply.raw.count(b"HTTP/1.1 200 OK") == 5
    places = [reply.raw.index(f'"{content}"'.encode()) for content in contents]
    assert places == sorted(places)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "in chunks"])
async def test_a_hundred_megabytes_are_refused_at_once(stack: Stack, is_chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(HUGE_BYTES // 100_000):
            yield b"x" * 100_000

    before_mib = resident_mib(stack)
    sent = pieces() if is_chunked else b"x" * HUGE_BYTES
    headers = {"authorization": f"Bearer {stack.info['demo_key']}"}
    async with (
        asyncio.timeout(QUICK_S),
        aiohttp.ClientSession() as session,
        session.post(gateway(stack) + CHAT, data=sent, headers=headers) as response,
    ):
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "request_too_large"
    assert resident_mib(stack) - before_mib < GROWTH_MIB


async def test_the_sdk_tells_a_hundred_megabytes_as_a_413(stack: Stack) -> None:
    client = openai.AsyncOpenAI(base_url=stack.info["openai_base_url"], api_key=stack.info["demo_key"], max_retries=0)
    async with client, asyncio.timeout(10):
        with pytest.raises(openai.APIStatusError) as raised:
            await client.chat.completions.create(
                model="sim/echo", messages=[{"role": "user", "content": "x" * HUGE_BYTES}]
            )
    assert raised.value.status_code == 413
    assert raised.value.code == "request_too_large"


async def test_strangers_cannot_send_bodies(stack: Stack) -> None:
    """Who may not call is refused before the body, however long that would take."""
    ask = Ask(CHAT, framing=f"Content-Length: {HUGE_BYTES}")
    reply = await exchange(gateway(stack), ask.render("wrong"), within_s=QUICK_S)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (401, "invalid_api_key")


async def test_clients_that_dribble_keep_nobody_from_being_served(stack: Stack) -> None:
    """A hundred connections stay in their headers while calls go on."""
    url = gateway(stack)

    async def dribble(release: asyncio.Event) -> None:
        async with connected(url) as (_, writer):
            writer.write(f"POST {CHAT} HTTP/1.1\r\n".encode())
            while not release.is_set():
                writer.write(b"X-A: a\r\n")
                await asyncio.sleep(0.05)

    release = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(100):
            tasks.create_task(dribble(release))
        for _ in range(20):
            reply = await exchange(url, Ask(CHAT, GOOD).render(stack.info["demo_key"]), within_s=QUICK_S)
            assert reply.status == 200
        release.set()


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(stack: Stack) -> None:
    log = stack.data_dir / "logs" / "dataplane.log"
    size = log.stat().st_size
    ask = Ask(CHAT, framing="Content-Length: 500")
    for _ in range(5):
        async with connected(gateway(stack)) as (_, writer):
            writer.write(ask.render(stack.info["demo_key"]) + b'{"model": ')
            await writer.drain()
            await asyncio.sleep(0.05)
    reply = await exchange(gateway(stack), Ask(CHAT, GOOD).render(stack.info["demo_key"]), within_s=QUICK_S)
    assert reply.status == 200
    assert "ERROR" not in log.read_bytes()[size:].decode()


async def test_a_slow_body_is_a_408(stack: Stack) -> None:
    """On a data plane of its own, which waits for bodies for a second only."""
    url = f"http://127.0.0.1:{find_free_port()}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TOLLWAY_")},
        "TOLLWAY_CONTROLPLANE_ADDRESS": stack.info["grpc_address"],
        "TOLLWAY_NATS_URL": stack.info["nats_url"],
        "TOLLWAY_PLANE_TOKEN": stack.info["plane_token"],
        "TOLLWAY_LISTEN": url.removeprefix("http://"),
        "TOLLWAY_METRICS_LISTEN": "127.0.0.1:0",
        "TOLLWAY_NODE": "impatient",
        "TOLLWAY_DRAIN_DELAY_S": "0",
        "TOLLWAY_BODY_TIMEOUT_S": "1",
        "TOLLWAY_SPOOL_DIR": str(stack.folder / "impatient-spool"),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "dataplane.main", env=environment)
    try:
        await eventually(lambda: _is_ready(url), 20, "the impatient data plane")
        ask = Ask(CHAT, framing="Content-Length: 500").render(stack.info["demo_key"])
        reply = await exchange(url, ask, *[b" "] * 30, within_s=3, pause_s=0.1)
        assert (reply.status, json.loads(reply.body)["error"]["code"]) == (408, "request_timeout")
        assert reply.elapsed_s > 0.9
        reply = await exchange(url, Ask(CHAT, GOOD).render(stack.info["demo_key"]), within_s=QUICK_S)
        assert reply.status == 200
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def _is_ready(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def manifests(*documents: dict[str, Any]) -> bytes:
    return json.dumps({"manifests": [{"apiVersion": "tollway/v1", **document} for document in documents]}).encode()


APPLY = "/v1/manifests:apply"
TEAMS = "/v1/teams?team_id=never-made"
DANGLING = {"kind": "Route", "metadata": {"name": "r"}, "spec": {"targets": [{"upstream": "nowhere", "model": "m"}]}}
UNKNOWN_FIELD = {"kind": "Team", "metadata": {"name": "t"}, "spec": {"colour": "red"}}


@pytest.mark.parametrize(
    ("ask", "status", "says"),
    [
        pytest.param(Ask(TEAMS, b'{"display_name": '), 400, "is not valid JSON", id="malformed JSON"),
        pytest.param(Ask(TEAMS, b"[]"), 400, "must be an object", id="an array"),
        pytest.param(Ask(TEAMS, b"[" * 100_000), 400, "nested deeper", id="deep nesting"),
        pytest.param(Ask(TEAMS, b'{"display_name": 1}'), 400, "team.display_name", id="a wrong type"),
        pytest.param(Ask(TEAMS, b'{"colour": "red"}'), 400, "display_name, labels", id="an unknown field"),
        pytest.param(Ask(TEAMS + "&color=red", b"{}"), 400, "color: unknown query", id="an unknown parameter"),
        pytest.param(Ask(TEAMS, b" " * 5_000_000), 413, "larger than", id="a large body"),
        pytest.param(Ask(TEAMS, b"{}", headers=("Content-Encoding: gzip",)), 415, "plain JSON", id="gzip"),
        pytest.param(Ask("/v1/teams/absent", method="GET"), 404, "teams/absent", id="absent"),
        pytest.param(Ask("/v1/nothing", method="GET"), 404, "/openapi.json", id="an unknown path"),
        pytest.param(Ask("/v1/teams", method="PUT"), 405, "GET, POST", id="a wrong method"),
        pytest.param(Ask(APPLY, b"{}"), 400, "nothing to apply", id="no manifest"),
        pytest.param(Ask(APPLY, b'{"manifests": [{}]}'), 400, "apiVersion", id="an empty manifest"),
        pytest.param(Ask(APPLY, manifests(DANGLING)), 400, "upstreams/nowhere", id="a dangling reference"),
        pytest.param(Ask(APPLY, manifests(UNKNOWN_FIELD)), 400, "spec.colour", id="an unknown manifest field"),
    ],
)
async def test_a_bad_admin_request_is_told_and_changes_nothing(
    stack: Stack, admin: Admin, ask: Ask, status: int, says: str
) -> None:
    before = await admin.call("GET", "/v1/auditEvents?page_size=1")
    reply = await exchange(stack.info["admin_url"], ask.render(stack.info["admin_token"]), within_s=QUICK_S)
    assert (reply.status, reply.is_closed) == (status, True), reply.raw[:500]
    error = json.loads(reply.body)["error"]
    assert error["code"] == status and says in error["message"]
    assert error["details"][0]["domain"] == "tollway"
    assert await admin.call("GET", "/v1/auditEvents?page_size=1") == before


@pytest.mark.parametrize("token", ["", "twa_canary-0123456789abcdef0123", "caf\xe9\xff"])
async def test_without_the_admin_token_nothing_is_told(stack: Stack, token: str) -> None:
    ask = Ask(TEAMS, b'{"colour": ')
    reply = await exchange(stack.info["admin_url"], ask.render(token), within_s=QUICK_S)
    assert (reply.status, json.loads(reply.body)["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert not token or token.encode("latin-1") not in reply.raw


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(tuple(f"X-{n}: canary" for n in range(300)), id="300 headers"),
        pytest.param(("X-A: " + "canary" * 4000,), id="a header of 24 kB"),
        pytest.param(("canary without a colon",), id="a header without a colon"),
    ],
)
async def test_what_is_not_http_gets_a_bare_400_of_the_admin_api_too(stack: Stack, headers: tuple[str, ...]) -> None:
    ask = Ask("/v1/teams", method="GET", headers=headers)
    reply = await exchange(stack.info["admin_url"], ask.render(stack.info["admin_token"]), within_s=QUICK_S)
    assert (reply.status, reply.body, reply.is_closed) == (400, b"", True), reply.raw[:500]


async def tollctl(stack: Stack, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        run_tollctl, *arguments, f"--data-dir={stack.data_dir}", folder=stack.folder, stdin=stdin
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "nothing to apply", id="an empty manifest"),
        pytest.param("a: [", "stdin:", id="malformed YAML"),
        pytest.param(json.dumps({"apiVersion": "tollway/v1", **DANGLING}), "upstreams/nowhere", id="dangling"),
        pytest.param(json.dumps({"apiVersion": "tollway/v1", **UNKNOWN_FIELD}), "spec.colour", id="an unknown field"),
    ],
)
async def test_tollctl_tells_a_bad_manifest_and_exits_with_1(stack: Stack, text: str, says: str) -> None:
    done = await tollctl(stack, "apply", "-f", "-", stdin=text)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert says in done.stderr and "Traceback" not in done.stderr


async def test_tollctl_has_an_exit_code_for_each_trouble(stack: Stack) -> None:
    assert (await tollctl(stack, "frobnicate")).returncode == 2
    foreign = await tollctl(stack, "get", "teams", "--token=twa_canary-0123456789abcdef0123")
    assert foreign.returncode == 3 and "canary" not in foreign.stderr
    away = await tollctl(stack, "get", "teams", f"--server=http://127.0.0.1:{find_free_port()}")
    assert away.returncode == 4 and len(away.stderr.splitlines()) == 1


async def test_up_tells_a_taken_port_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = [flag for flag in FREE_PORTS if not flag.startswith("--admin-port")]
        done = await asyncio.to_thread(run_tollctl, "up", *ports, f"--admin-port={port}", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"tollctl up: port {port} is in use: stop what listens there, or choose another --admin-port"
    ]


async def test_up_tells_a_wrong_database_url_in_one_line(tmp_path: Path) -> None:
    place = f"127.0.0.1:{find_free_port()}/tollway"
    url = f"--database-url=postgresql://tollway:canary@{place}"
    done = await asyncio.to_thread(run_tollctl, "up", *FREE_PORTS, url, folder=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("tollctl up: cannot prepare the database: ") and place in line
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("postgresql://tollway:canary@127.0.0.1:{port}/tollway", 1, "did not answer within 0.2 s"),
        ("mysql://tollway:canary@127.0.0.1/tollway", 2, "TOLLWAY_DATABASE_URL: "),
        ("canary", 2, "TOLLWAY_DATABASE_URL: "),
        ("", 2, "TOLLWAY_DATABASE_URL: "),
    ],
)
async def test_migrate_tells_a_wrong_database_url_in_one_line(url: str, code: int, says: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLWAY_")}
    environment |= {"TOLLWAY_DATABASE_URL": url.format(port=find_free_port()), "TOLLWAY_DATABASE_WAIT_S": "0.2"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controlplane.migrate_main", stderr=asyncio.subprocess.PIPE, env=environment
    )
    _, stderr = await asyncio.wait_for(process.communicate(), 20)
    (line,) = stderr.decode().splitlines()
    assert process.returncode == code
    assert says in line and "canary" not in line
