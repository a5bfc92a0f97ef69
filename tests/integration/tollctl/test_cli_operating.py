"""`chat`, `status` and `doctor`, as processes against scripted servers."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.admin_api import ADMIN_TOKEN, Reply, ScriptedApi, run_tollctl, scripted_api

KEY = "twk_" + "B" * 46
HEADERS = {
    "x-request-id": "req_1",
    "x-tollway-upstream": "upstreams/sim",
    "x-tollway-model": "echo",
    "x-tollway-attempts": "2",
}
CHAT = "POST /v1/chat/completions"
READY = {path: Reply(b"ok\n") for path in ("GET /readyz", "GET /livez", "GET /healthz")}
FLEET = "GET /v1/dataplanes"
BOOKS = "GET /v1/priceBooks"
IN_FORCE = {"name": "priceBooks/a", "state": "active", "create_time": "2026-11-01T00:00:00Z"}


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as api:
        yield api


def chat(api: ScriptedApi, folder: Path, *arguments: str, **environ: str) -> Any:
    settings = {"TOLLWAY_BASE_URL": f"{api.url}/v1", "TOLLWAY_API_KEY": KEY, **environ}
    return run_tollctl("chat", "sim/echo", "hello there", *arguments, folder=folder, environ=settings)


def stream(*frames: str) -> Reply:
    body = "".join(f"data: {frame}\n\n" for frame in frames)
    return Reply(body.encode(), headers={**HEADERS, "content-type": "text/event-stream"})


def piece(text: str) -> str:
    return json.dumps({"choices": [{"delta": {"content": text}}], "usage": None})


def test_stream_goes_to_stdout_and_its_account_to_stderr(api: ScriptedApi, tmp_path: Path) -> None:
    usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}})
    api.replies[CHAT] = stream(piece("hel"), piece("lo\n"), piece("you"), usage, "[DONE]")
    done = chat(api, tmp_path)
    assert (done.returncode, done.stdout) == (0, "hello\nyou\n")
    assert done.stderr.startswith("2 + 3 tokens, request req_1, answered by sim/echo at attempt 2, ")
    (asked,) = api.asked
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["messages"] == [{"role": "user", "content": "hello there"}]
    assert asked.body["stream"] is True and asked.body["stream_options"] == {"include_usage": True}


def test_whole_answer_tells_its_cost(api: ScriptedApi, tmp_path: Path) -> None:
    answer = {
        "choices": [{"message": {"content": "hello"}}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3},
    }
    api.replies[CHAT] = Reply(answer, headers={**HEADERS, "x-tollway-cost-usd": "0.000014"})
    done = chat(api, tmp_path, "--no-stream", "--system", "be brief")
    assert (done.returncode, done.stdout) == (0, "hello\n") and "0.000014 USD" in done.stderr
    assert api.asked[0].body["messages"][0] == {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(("status", "code"), [(401, 3), (402, 1), (404, 1), (503, 1)])
def test_error_of_the_data_plane(api: ScriptedApi, tmp_path: Path, status: int, code: int) -> None:
    error = {"error": {"message": "no such thing", "type": "t", "param": None, "code": "a_code"}}
    api.replies[CHAT] = Reply(error, status, HEADERS)
    done = chat(api, tmp_path)
    assert done.returncode == code and done.stdout == ""
    assert "no such thing (a_code)" in done.stderr and "req_1" in done.stderr and KEY not in done.stderr


def test_error_and_end_within_a_stream(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies[CHAT] = [stream(piece("a"), '{"error": {"message": "gone"}}'), stream(piece("a"))]
    failed = chat(api, tmp_path)
    assert failed.returncode == 1 and "ended with an error: gone" in failed.stderr
    cut = chat(api, tmp_path)
    assert cut.returncode == 1 and "broke off" in cut.stderr


def test_demo_key_of_a_local_stack_goes_to_that_stack_only(api: ScriptedApi, tmp_path: Path) -> None:
    write_stack(tmp_path, openai_base_url=f"{api.url}/v1", demo_key=KEY)
    api.replies[CHAT] = stream(piece("a"), "[DONE]")
    assert run_tollctl("chat", "sim/echo", "hi", folder=tmp_path).returncode == 0
    other = run_tollctl("chat", "sim/echo", "hi", "--base-url", "http://127.0.0.1:9/v1", folder=tmp_path)
    assert other.returncode == 3 and "no virtual key" in other.stderr


def write_stack(folder: Path, **fields: object) -> None:
    (folder / ".tollway").mkdir()
    (folder / ".tollway" / "stack.json").write_text(json.dumps(fields))


@contextmanager
def greeting_server(greeting: bytes) -> Iterator[int]:
    """A server that says one line and closes, as nats-server begins."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def scripted_stack(api: ScriptedApi, folder: Path, greeting: bytes) -> Iterator[None]:
    """A stack.json whose every address is answered."""
    with greeting_server(greeting) as port:
        names = ("dataplane", "controlplane", "consumer", "postgres", "nats", "sim")
        write_stack(
            folder,
            openai_base_url=f"{api.url}/v1",
            admin_url=api.url,
            admin_token=ADMIN_TOKEN,
            sim_url=api.url,
            metrics_urls={"consumer": f"{api.url}/metrics"},
            database_url=f"postgresql://u:hidden-word@127.0.0.1:{port}/tollway",
            nats_url=f"nats://u:hidden-word@127.0.0.1:{port}",
            pids=dict.fromkeys(names, os.getpid()),
        )
        yield


def plane(**fields: object) -> Reply:
    shown = {"name": "dataplanes/a", "connected": True, "revision": 4, "lag": 0, "rejections": [], **fields}
    return Reply({"data_planes": [shown], "head_revision": 4})


def test_status_and_doctor_of_a_well_stack(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies.update(READY)
    api.replies[FLEET] = plane()
    api.replies["GET /v1/teams"] = Reply({"teams": []})
    newer = {"name": "priceBooks/b", "state": "imported", "create_time": "2026-11-02T00:00:00Z"}
    api.replies[BOOKS] = Reply({"price_books": [IN_FORCE, newer]})
    with scripted_stack(api, tmp_path, b'INFO {"jetstream":true} \r\n'):
        status = run_tollctl("status", folder=tmp_path)
        assert status.returncode == 0, status.stdout + status.stderr
        assert [line.split()[1] for line in status.stdout.splitlines()[1:7]] == ["ready"] * 6
        assert "head revision 4" in status.stdout
        doctor = run_tollctl("doctor", folder=tmp_path)
        assert doctor.returncode == 0, doctor.stdout
        assert all(line.startswith("ok ") for line in doctor.stdout.splitlines())
        assert "priceBooks/a is in force; priceBooks/b is newer, see `tollctl prices diff`" in doctor.stdout
        shown = status.stdout + status.stderr + doctor.stdout + doctor.stderr
        assert "hidden-word" not in shown and ADMIN_TOKEN not in shown


def test_status_and_doctor_name_what_is_wrong(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies.update(READY)
    api.replies["GET /readyz"] = Reply(b"not ready: the schema is at 0001, this release needs 0002\n", 503)
    api.replies[FLEET] = plane(rejections=[{"name": "routes/chat", "reason": "no such upstream"}])
    api.replies["GET /v1/teams"] = Reply({"teams": []})
    api.replies[BOOKS] = Reply({"price_books": []})
    with scripted_stack(api, tmp_path, b'INFO {"jetstream":false} \r\n'):
        status = run_tollctl("status", "-o", "json", folder=tmp_path)
        parts = {part["name"]: part for part in json.loads(status.stdout)["parts"]}
        assert status.returncode == 1 and not parts["controlplane"]["ready"] and parts["sim"]["ready"]
        assert "schema is at 0001" in parts["controlplane"]["reason"]
        doctor = run_tollctl("doctor", folder=tmp_path)
    failed = [line for line in doctor.stdout.splitlines() if line.startswith("fail")]
    assert doctor.returncode == 1
    assert [line.split()[1] for line in failed] == [
        "database:",
        "config:",
        "prices:",
        "jetstream:",
        "consumer:",
        "data",
    ]
    assert "routes/chat: no such upstream" in doctor.stdout and "without JetStream" in doctor.stdout
    assert all(" -> " in line for line in failed)


def test_status_and_doctor_of_a_stack_that_is_gone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    write_stack(tmp_path, admin_url=f"http://127.0.0.1:{port}", admin_token=ADMIN_TOKEN, pids={"controlplane": 2**22})
    status = run_tollctl("status", folder=tmp_path)
    assert status.returncode == 4 and f"http://127.0.0.1:{port} is unreachable" in status.stderr
    doctor = run_tollctl("doctor", folder=tmp_path)
    assert doctor.returncode == 1 and "not running: controlplane" in doctor.stdout and "tollctl up" in doctor.stdout


def test_doctor_before_the_first_start(tmp_path: Path) -> None:
    doctor = run_tollctl("doctor", folder=tmp_path)
    assert doctor.returncode == 1
    assert doctor.stdout.splitlines()[-1].startswith("fail  stack: no control plane is known")
