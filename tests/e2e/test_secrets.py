"""No secret that was put in is found where it does not belong, whatever went wrong on the way."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.canaries import Canaries, dump_database, files_below, processes_of
from tests.e2e.rawhttp import Ask, exchange
from tests.e2e.stack import Admin, Stack, eventually
from tests.fakes.admin_api import run_tollctl
from tests.fakes.otlp import Collector, collecting
from tests.fakes.upstream import Script, ScriptedUpstream, json_script, sse_script

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

CHAT = "/v1/chat/completions"
SECRET_FILES = {"secrets.json", "stack.json", "nats/nats.conf", "nats/password", "postgres/password"}
OWN = {"encryption_key", "key_pepper", "plane_token", "admin_token", "demo_key"}
ENV_UPSTREAM, ENV_KEY = "CANARY_UPSTREAM_SECRET", "CANARY_VIRTUAL_KEY"
CHUNK = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "a"}}]}
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@dataclass(slots=True)
class Scene:
    """A stack in which everything has gone wrong; `said` is all that anyone was answered or shown."""

    stack: Stack
    admin: Admin
    collector: Collector
    provider: ScriptedUpstream
    canaries: Canaries
    said: dict[str, bytes] = field(default_factory=dict)

    async def ask(self, what: str, url: str, ask: Ask | bytes, token: str = "", *, is_echo: bool = False) -> int:
        """Sends and keeps the whole answer; not where it is an echo of what the caller himself has said."""
        raw = ask if isinstance(ask, bytes) else ask.render(token)
        reply = await exchange(url, raw, within_s=5)
        if not is_echo:
            self.said[what] = self.said.get(what, b"") + reply.raw
        return reply.status

    async def call(self, what: str, model: str, key: str, **fields: Any) -> int:
        """A chat completion."""
        body = {"model": model, "messages": [{"role": "user", "content": "x"}], **fields}
        return await self.ask(what, self.gateway_url, Ask(CHAT, json.dumps(body).encode()), key)

    async def manage(self, what: str, method: str, path: str, body: Any = None, **options: Any) -> int:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        token = options.pop("token", self.stack.info["admin_token"])
        ask = Ask(path, content, method=method, headers=options.pop("headers", ()))
        return await self.ask(what, self.stack.info["admin_url"], ask, token, **options)

    @property
    def gateway_url(self) -> str:
        return str(self.stack.info["openai_base_url"]).removesuffix("/v1")

    async def works(self, key: str) -> bool:
        return await self.call("a call", "sim/echo", key) == 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder, canaries, provider = tmp_path_factory.mktemp("secrets"), Canaries(), ScriptedUpstream()
    await provider.start()
    async with collecting() as collector:
        environment = {
            "TOLLWAY_LOG_LEVEL": "debug",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            ENV_UPSTREAM: canaries.make("env-ref"),
            ENV_KEY: canaries.make_key("key by ref"),
        }
        stack = Stack(folder, environment=environment)
        await stack.start()
        canaries.add_stack(stack)
        made = Scene(stack, Admin(stack), collector, provider, canaries)
        try:
            await make_upstreams(made)
            await make_keys(made)
            await use_upstreams(made)
            await present_bad_keys(made)
            await send_bad_admin_requests(made)
            await use_tollctl(made)
            await misconfigure(made)
            await crash(made)
            await read_everything(made)
            yield made
        finally:
            await made.admin.close()
            code = await stack.stop()
            await provider.stop()
            assert code == 0, stack.log


async def make_upstreams(scene: Scene) -> None:
    """One upstream per way to give a secret; the first one's is changed once."""
    canaries, provider = scene.canaries, scene.provider
    file = scene.stack.folder / "upstream-secret"
    file.write_text(canaries.make("file-ref") + "\n")
    given = {
        "by-value": {"value": canaries.make("first-value")},
        "by-env": {"ref": f"env:{ENV_UPSTREAM}"},
        "by-file": {"ref": f"file:{file}"},
    }
    for name, secret in given.items():
        spec = {
            "provider": "openai_compatible",
            "base_url": provider.script(name, json_script(WHOLE)),
            "secret": secret,
        }
        path = f"/v1/upstreams?upstream_id={name}"
        assert await scene.manage("dry run", "POST", f"{path}&validate_only=true", spec) == 200
        assert await scene.manage("create upstream", "POST", path, spec) == 200
        assert await scene.manage("create again", "POST", path, spec) == 409
    change = {"secret": {"value": canaries.make("value")}}
    path = "/v1/upstreams/by-value?update_mask=secret"
    assert await scene.manage("update upstream", "PATCH", path, change) == 200


async def make_keys(scene: Scene) -> None:
    """Keys by all ways; the answers that give a secret, once each, are not kept."""
    admin, canaries = scene.admin, scene.canaries
    await admin.call("POST", "/v1/teams?team_id=t", {})
    for key in ("made", "revoked"):
        canaries.add(f"key {key}", await admin.create_key("t", key))
    canaries.add("key rotated", (await admin.call("POST", "/v1/teams/t/keys/made:rotate", {}))["secret"])
    by_ref = {"secret": {"ref": f"env:{ENV_KEY}"}}
    assert await scene.manage("key by ref", "POST", "/v1/teams/t/keys?key_id=by-ref", by_ref) == 200
    path = f"/v1/teams/t/keys?key_id=once&request_id={secrets.token_hex(8)}"
    once = canaries.add("key once", (await admin.call("POST", path, {}))["secret"])
    assert (await admin.call("POST", path, {}))["secret"] == once, "a repeated request has the first one's answer"
    assert await scene.manage("revoke", "POST", "/v1/teams/t/keys/revoked:revoke", {}) == 200
    for name in ("key made", "key rotated", "key by ref", "key once"):
        await eventually(lambda key=canaries.values[name]: scene.works(key), 5, f"{name} to work")  # type: ignore[misc]


def _echoes(secret: str) -> list[Script]:
    """All ways in which a provider could repeat the credential that it got."""
    told = f"Incorrect API key provided: {secret}. Header was 'Bearer {secret}'."
    named = {"error": {"message": told, "type": secret, "param": secret, "code": secret}}
    failures = [json_script(named, status) for status in (400, 401, 403, 404, 409, 413, 422, 429, 500, 503)]
    plain = Script(400, {"content-type": "text/plain"}, [told.encode()])
    return [
        *failures,
        plain,
        json_script({"error": told}, 400),
        json_script({"detail": [{"msg": told}]}, 422),
        json_script(named, 400, x_request_id=secret, www_authenticate=secret),
        Script(307, {"location": f"http://127.0.0.1:9/{secret}"}),
        Script(200, {"content-type": "application/json"}, [b"{" + told.encode()]),
        Script(200, {"content-type": "application/json"}, [told.encode()], cut=True),
        Script(200, {"content-type": "text/html"}, [told.encode()]),
        json_script(named),
    ]


def _stream_echoes(secret: str) -> list[Script]:
    named = {"error": {"message": f"Bearer {secret}", "type": secret, "param": secret, "code": secret}}
    broken = b"data: " + secret.encode() + b"\n\n"
    return [
        sse_script(named, done=False),
        sse_script(CHUNK, named, done=False),
        Script(200, {"content-type": "text/event-stream"}, [sse_script(CHUNK).pieces[0], broken]),
        Script(200, {"content-type": "text/event-stream"}, [b": " + secret.encode() + b"\n\n"], cut=True),
        Script(200, {"content-type": "text/event-stream"}, [b"event: error\ndata: " + secret.encode() + b"\n\n"]),
    ]


async def use_upstreams(scene: Scene) -> None:
    canaries, key = scene.canaries, scene.canaries.values["key rotated"]
    for upstream, secret_name in (("by-value", "value"), ("by-env", "env-ref"), ("by-file", "file-ref")):
        secret = canaries.values[secret_name]
        await eventually(lambda name=upstream: _is_used(scene, name), 5, f"{upstream} to be used")  # type: ignore[misc]
        for script in _echoes(secret):
            scene.provider.script(upstream, script)
            await scene.call(f"{upstream} fails", f"{upstream}/m", key)
        for script in _stream_echoes(secret):
            scene.provider.script(upstream, script)
            await scene.call(f"{upstream} fails in a stream", f"{upstream}/m", key, stream=True)
        assert scene.provider.received[-1].headers["authorization"] == f"Bearer {secret}"


async def _is_used(scene: Scene, upstream: str) -> bool:
    scene.provider.script(upstream, json_script(WHOLE))
    return await scene.call("a call", f"{upstream}/m", scene.canaries.values["key rotated"]) == 200


async def present_bad_keys(scene: Scene) -> None:
    """Keys that are wrong, revoked, in the wrong place, or in what is not HTTP."""
    canaries, url = scene.canaries, scene.gateway_url
    good, body = canaries.values["key rotated"], b'{"model": "sim/echo", "messages": []}'
    wrong = canaries.make_key("key of nobody")
    assert await scene.call("bad keys", "sim/echo", wrong) == 401
    assert await scene.call("bad keys", "sim/echo", canaries.values["key revoked"]) == 401
    assert await scene.call("bad keys", "sim/echo", canaries.values["admin_token"]) == 401
    assert await scene.call("bad keys", "sim/echo", canaries.values["value"]) == 401
    for header in (f"X-Api-Key: {wrong}", f"Api-Key: {wrong}", f"Cookie: key={wrong}"):
        await scene.ask("bad keys", url, Ask(CHAT, body, headers=(header,)))
    for broken in (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {good}\r\n\r\n",
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {good}\r\n\r\n",
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\0\r\n\r\n",
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nX: {good * 300}\r\n\r\n",
        f"{good} HTTP/1.1\r\n\r\n",
    ):
        assert await scene.ask("broken HTTP", url, broken.encode()) == 400
    await scene.ask("key in the query", url, Ask(f"{CHAT}?key={good}", body))
    await scene.ask("key in the path", url, Ask(f"/v1/nothing/{good}", body), is_echo=True)
    await scene.ask("key in a broken body", url, Ask(CHAT, f'{{"key": "{good}"'.encode()), good)
    await scene.ask("key in a field", url, Ask(CHAT, f'{{"api_key": "{good}", "model": 1}}'.encode()), good)


async def send_bad_admin_requests(scene: Scene) -> None:
    """Secrets where none belongs."""
    canaries = scene.canaries
    stray, token = canaries.make("stray"), canaries.values["admin_token"]
    teams, upstreams = "/v1/teams?team_id=x", "/v1/upstreams?upstream_id=x"
    bad = "bad admin request"
    bad_teams: list[dict[str, Any] | bytes] = [
        {"colour": stray},
        {"display_name": {"a": stray}},
        {"labels": stray},
        {"secret": {"value": stray}},
        f'{{"display_name": "{stray}'.encode(),
        f'{{"display_name": {stray}}}'.encode(),
    ]
    bad_upstreams: list[dict[str, Any]] = [
        {"provider": "openai", "secret": stray},
        {"provider": "openai", "secret": {"ref": stray}},
        {"provider": "openai", "secret": {"ref": f"vault:{stray}"}},
        {"provider": "openai", "secret": {"value": [stray]}},
        {"provider": "openai", "secret": {"value": stray, "ref": "env:A"}},
        {"provider": "openai", "secret": {"value": stray + "\n"}, "base_url": "ftp://x"},
        {"provider": "openai_compatible", "base_url": f"https://user:{stray}@x.example/v1"},
        {"provider": "openai", "secret": {"value": "v" * 20}, "headers": {"authorization": f"Bearer {stray}"}},
        {"provider": "openai", "api_key": stray},
    ]
    for team in bad_teams:
        assert await scene.manage(bad, "POST", teams, team) == 400, team
    for upstream in bad_upstreams:
        assert await scene.manage(bad, "POST", upstreams, upstream) == 400, upstream
    key = {"secret": {"ref": stray}}
    assert await scene.manage(bad, "POST", "/v1/teams/t/keys?key_id=x", key) == 400
    assert await scene.manage(bad, "POST", "/v1/teams/t/keys?key_id=x", {"secret": {"value": stray}}) == 400
    assert await scene.manage(bad, "GET", f"/v1/teams?api_key={stray}") == 400
    assert await scene.manage(bad, "GET", f"/v1/teams?page_token={stray}") == 400
    for spec in ({"secret": {"value": stray}}, {"api_key": stray}, {"secret": stray}):
        manifest = {"apiVersion": "tollway/v1", "kind": "Upstream", "metadata": {"name": "x"}}
        manifests = {"manifests": [{**manifest, "spec": {"provider": "openai", **spec}}]}
        assert await scene.manage(bad, "POST", "/v1/manifests:apply", manifests) == 400
    for path in (f"/v1/usage?group_by={stray}", f"/v1/usageRecords?filter={stray}", f"/v1/teams/{stray}"):
        assert await scene.manage(bad, "GET", path, is_echo=True) in (400, 404)
    for wrong in (stray, canaries.values["plane_token"], canaries.values["key made"], f"{token}x"):
        assert await scene.manage("wrong admin token", "GET", "/v1/teams", token=wrong) == 401
    url = scene.stack.info["admin_url"]
    for broken in (
        f"GET /v1/teams HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {token}\r\n\r\n",
        f"GET /v1/teams HTTP/1.1\r\nHost: x\r\nX: {token * 300}\r\n\r\n",
        f"{token} HTTP/1.1\r\n\r\n",
    ):
        assert await scene.ask("broken HTTP", url, broken.encode()) == 400


async def use_tollctl(scene: Scene) -> None:
    """What the command line prints when it fails, and where it shows what there is."""
    canaries, stray = scene.canaries, scene.canaries.make("command-line")
    manifest = {"apiVersion": "tollway/v1", "kind": "Upstream", "metadata": {"name": "x"}}
    stdin = json.dumps({**manifest, "spec": {"provider": "openai", "secret": {"value": stray}}})
    for arguments in (
        ("apply", "-f", "-"),
        ("diff", "-f", "-"),
        ("get", "teams", f"--token={stray}"),
        ("chat", "sim/echo", "x", f"--key={stray}"),
        ("chat", "by-value/m", "x", f"--key={canaries.values['key made']}"),
        ("get", "upstreams", "-o", "yaml"),
        ("get", "keys", "-o", "json"),
        ("get", "auditevents", "-o", "json"),
        ("export",),
        ("status",),
        ("doctor",),
    ):
        done = await asyncio.to_thread(
            run_tollctl, *arguments, f"--data-dir={scene.stack.data_dir}", folder=scene.stack.folder, stdin=stdin
        )
        scene.said[f"tollctl {arguments[0]}"] = (done.stdout + done.stderr).encode()
        assert "Traceback" not in done.stderr
    assert canaries.found_in(stdin.encode()) == ["command-line"]


async def misconfigure(scene: Scene) -> None:
    """Services that cannot start because of a setting that holds a secret."""
    stray, info = scene.canaries.make("setting"), scene.stack.info
    good = {"TOLLWAY_NATS_URL": info["nats_url"], "TOLLWAY_PLANE_TOKEN": info["plane_token"]}
    base = {name: value for name, value in os.environ.items() if not name.startswith("TOLLWAY_")}
    for module, settings in (
        ("dataplane.main", {**good, "TOLLWAY_CONTROLPLANE_ADDRESS": f"http://{stray}@x"}),
        ("dataplane.main", {**good, "TOLLWAY_NATS_URL": f"http://u:{stray}@x", "TOLLWAY_CONFIG_FILE": "/nowhere"}),
        ("controlplane.main", {"TOLLWAY_DATABASE_URL": f"mysql://u:{stray}@x/y"}),
        ("controlplane.consumer_main", {"TOLLWAY_DATABASE_URL": stray, "TOLLWAY_NATS_URL": f"nats://{stray}@"}),
        ("controlplane.migrate_main", {"TOLLWAY_DATABASE_URL": f"postgresql://u:{stray}@127.0.0.1:x/y"}),
    ):
        done = await run_module(module, base | settings)
        scene.said[f"{module} with a bad setting"] = done
        assert done.startswith(b"TOLLWAY_") and done.count(b"\n") == 1, done


async def run_module(module: str, environment: dict[str, str]) -> bytes:
    """What a process that ends by itself prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2, (module, stderr)
    return stdout + stderr


async def crash(scene: Scene) -> None:
    """Every service dies once, while calls arrive."""
    key = scene.canaries.values["key rotated"]
    for service in ("consumer", "nats", "controlplane", "dataplane", "postgres"):
        old = scene.stack.kill(service)
        await scene.stack.restarted(service, old)
        await eventually(lambda: _is_answered(scene, key), 20, f"calls after the death of {service}")
    await eventually(lambda: _is_readable(scene), 20, "the admin API after the death of postgres")


async def _is_answered(scene: Scene, key: str) -> bool:
    try:
        return await scene.works(key)
    except OSError:
        return False


async def _is_readable(scene: Scene) -> bool:
    try:
        return await scene.manage("teams", "GET", "/v1/teams") == 200
    except OSError:
        return False


async def read_everything(scene: Scene) -> None:
    """All that the admin API and the metrics show, after all calls have been booked."""

    async def is_booked() -> bool:
        rows = (await scene.admin.call("GET", "/v1/usage?group_by=upstream"))["rows"]
        return {"by-value", "by-env", "by-file", "sim"} <= {row["group"]["upstream"] for row in rows}

    await eventually(is_booked, 20, "the calls to be booked")
    for path in ("teams", "teams/t/keys", "upstreams", "routes", "prices", "dataplanes", "auditEvents", "usageRecords"):
        assert await scene.manage(f"list {path}", "GET", f"/v1/{path}?page_size=1000") == 200
    for upstream in ("by-value", "by-env", "by-file"):
        assert await scene.manage("get upstream", "GET", f"/v1/upstreams/{upstream}") == 200
    assert await scene.manage("openapi", "GET", "/openapi.json") == 200
    assert await scene.ask("models", scene.gateway_url, Ask("/v1/models", method="GET"), scene.stack.info["demo_key"])
    async with aiohttp.ClientSession() as session:
        for service, url in scene.stack.info["metrics_urls"].items():
            async with session.get(url) as response:
                scene.said[f"metrics of {service}"] = await response.read()


def hits(scene: Scene, places: dict[str, bytes]) -> dict[str, list[str]]:
    return {place: found for place, content in places.items() if (found := scene.canaries.found_in(content))}


async def test_no_answer_holds_a_secret(scene: Scene) -> None:
    assert len(scene.said) > 30
    assert hits(scene, scene.said) == {}


async def test_no_log_holds_a_secret(scene: Scene) -> None:
    logs = {path.name: content for path, content in files_below(scene.stack.data_dir / "logs")}
    assert {"dataplane.log", "controlplane.log", "consumer.log", "nats.log", "postgres.log"} <= set(logs)
    assert b" DEBUG " in logs["dataplane.log"] + logs["controlplane.log"]
    assert hits(scene, logs) == {}


async def test_up_shows_no_secret_but_the_demo_key_in_its_curl(scene: Scene) -> None:
    lines = scene.stack.log.splitlines()
    (curl,) = [index for index, line in enumerate(lines) if line.startswith("curl ")]
    shown = lines.pop(curl + 1)
    assert scene.canaries.found_in(shown.encode()) == ["demo_key"]
    assert hits(scene, {line: line.encode() for line in lines}) == {}


async def test_no_span_holds_a_secret(scene: Scene) -> None:
    services = {str(resource["service.name"]) for resource in scene.collector.resources}
    assert services == {"tollway-dataplane", "tollway-controlplane", "tollway-consumer"}
    assert hits(scene, {f"export {n}": body for n, body in enumerate(scene.collector.bodies)}) == {}


async def test_the_database_holds_no_secret(scene: Scene) -> None:
    dump = await dump_database(scene.stack.info["database_url"])
    assert any(b"by-value" in rows for rows in dump.values()) and any(b"teams/t" in rows for rows in dump.values())
    assert hits(scene, dump) == {}


async def test_files_hold_no_secret_but_the_private_ones(scene: Scene) -> None:
    """Also those of JetStream and of Postgres, its write-ahead log included."""
    data_dir, found = scene.stack.data_dir, dict[str, list[str]]()
    names = set()
    for path, content in files_below(data_dir):
        name = str(path.relative_to(data_dir))
        names.add(name)
        if here := scene.canaries.found_in(content):
            found[name] = here
    assert [name for name in names if name.startswith("nats/store/") and name.endswith(".blk")]
    assert [name for name in names if "/pg_wal/" in name]
    assert {name: here for name, here in found.items() if name not in SECRET_FILES} == {}
    assert {"secrets.json", "stack.json"} <= set(found)
    modes = {name: (data_dir / name).stat().st_mode & 0o777 for name in found}
    assert modes == dict.fromkeys(found, 0o600)
    assert data_dir.stat().st_mode & 0o777 == 0o700


async def test_no_command_line_holds_a_secret(scene: Scene) -> None:
    pids = [int(pid) for pid in scene.stack.read_info()["pids"].values()]
    lines = {str(folder): (folder / "cmdline").read_bytes() for folder in processes_of(pids)}
    assert len(lines) >= 6
    assert hits(scene, lines) == {}


async def test_a_process_knows_the_secrets_that_it_needs_and_no_others(scene: Scene) -> None:
    """Upstream secrets are looked up where the data plane runs, those of keys by the control plane."""
    referred = {"env-ref", "key by ref"}
    database, nats = {"password of database_url"}, {"password of nats_url"}
    needed = {
        "dataplane": {"plane_token", *nats, *referred},
        "controlplane": {*OWN, *database, *referred},
        "consumer": {*database, *nats},
        "sim": set[str](),
        "nats": set[str](),
        "postgres": set[str](),
    }
    pids = scene.stack.read_info()["pids"]
    known = {name: set(_environment_secrets(scene, pid)) for name, pid in pids.items()}
    assert known == needed


def _environment_secrets(scene: Scene, pid: int) -> list[str]:
    return scene.canaries.found_in(Path(f"/proc/{pid}/environ").read_bytes())


async def test_the_search_would_find_what_it_looks_for(scene: Scene) -> None:
    """Each secret is where it belongs: with the provider that must have it, or in the private files."""
    asked = json.dumps([received.headers for received in scene.provider.received]).encode()
    assert set(scene.canaries.found_in(asked)) >= {"value", "env-ref", "file-ref"}
    assert not [name for name in scene.canaries.found_in(asked) if name.startswith("key ")]
    private = (scene.stack.data_dir / "secrets.json").read_bytes()
    assert set(scene.canaries.found_in(private)) == OWN
