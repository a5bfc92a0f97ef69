"""A bad setting stops the process quickly, with one line that names it; --help lists all."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from controlplane.settings import HELP, Settings
from tests.integration.controlplane_process.process import SECRETS, Site
from tollway.settings import settings_or_exit

NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


@pytest.mark.parametrize(
    ("variables", "named", "says"),
    [
        ({"TOLLWAY_DATABASE_URL": ""}, "TOLLWAY_DATABASE_URL", "is required"),
        ({"TOLLWAY_DATABASE_URL": "mysql://u:hunter2@h/d"}, "TOLLWAY_DATABASE_URL", "postgresql://"),
        ({"TOLLWAY_ENCRYPTION_KEY": ""}, "TOLLWAY_ENCRYPTION_KEY", "is required"),
        ({"TOLLWAY_ENCRYPTION_KEY": "hunter2"}, "TOLLWAY_ENCRYPTION_KEY", "at least 32"),
        ({"TOLLWAY_KEY_PEPPER": ""}, "TOLLWAY_KEY_PEPPER", "is required"),
        ({"TOLLWAY_PLANE_TOKEN": ""}, "TOLLWAY_PLANE_TOKEN", "is required"),
        ({"TOLLWAY_ADMIN_TOKEN": "twa_hunter2"}, "TOLLWAY_ADMIN_TOKEN", "at least 20"),
        ({"TOLLWAY_ADMIN_TOKEN": "a" * 40}, "TOLLWAY_ADMIN_TOKEN", "easy to guess"),
        ({"TOLLWAY_ADMIN_LISTEN": "0.0.0.0:0"}, "TOLLWAY_ADMIN_LISTEN", "TOLLWAY_INSECURE_ADMIN=1"),
        ({"TOLLWAY_GRPC_LISTEN": "[::]:0"}, "TOLLWAY_GRPC_LISTEN", "TOLLWAY_TLS_CERT"),
        ({"TOLLWAY_GRPC_LISTEN": "8082"}, "TOLLWAY_GRPC_LISTEN", "host:port"),
        ({"TOLLWAY_TLS_CERT": "/nowhere/tls.crt"}, "TOLLWAY_TLS_CERT", "is not a file"),
        ({"TOLLWAY_TLS_CA": "/etc/hostname"}, "TOLLWAY_TLS_CERT", "is required"),
        ({"TOLLWAY_LOG_LEVEL": "loud"}, "TOLLWAY_LOG_LEVEL", "debug"),
        ({"TOLLWAY_CONFIG_NOTIFY": "maybe"}, "TOLLWAY_CONFIG_NOTIFY", "1 nor 0"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector"}, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    named: str,
    says: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["tollway-controlplane"])
    monkeypatch.setattr(os, "environ", Site(NOWHERE).environ | variables)
    with pytest.raises(SystemExit) as ended:
        settings_or_exit(HELP, Settings.from_environment)
    assert ended.value.code == 2
    _check_refusal(capsys.readouterr().err.splitlines(), named, says)


@pytest.mark.parametrize(
    ("variables", "named", "says"),
    [
        ({"TOLLWAY_DATABASE_URL": "mysql://u:hunter2@h/d"}, "TOLLWAY_DATABASE_URL", "postgresql://"),
        ({"TOLLWAY_TLS_CERT": "/etc/hostname", "TOLLWAY_TLS_KEY": "/etc/hostname"}, "TOLLWAY_TLS_CERT", "certificate"),
    ],
)
async def test_a_process_ends_at_what_it_reads_and_at_what_it_opens(
    variables: dict[str, str], named: str, says: str
) -> None:
    plane = await Site(NOWHERE).spawn(**variables)
    assert await plane.ended() == 2
    _check_refusal(plane.lines, named, says)


def _check_refusal(lines: list[str], named: str, says: str) -> None:
    [line] = lines
    assert line.startswith(f"{named}: ")
    assert says in line
    assert "hunter2" not in line


async def test_help_lists_every_variable_and_shows_none() -> None:
    plane = await Site(NOWHERE).spawn("--help")
    assert plane.process.stdout is not None
    page = (await plane.process.stdout.read()).decode()
    assert await plane.ended() == 0
    assert page == HELP
    for name in (*SECRETS, "TOLLWAY_DATABASE_URL", "TOLLWAY_GRPC_LISTEN", "TOLLWAY_TLS_CA", "TOLLWAY_DRAIN_DELAY_S"):
        assert f"  {name}  <" in page
    assert not any(secret in page for secret in SECRETS.values())


@pytest.mark.parametrize("variable", ["TOLLWAY_ADMIN_LISTEN", "TOLLWAY_GRPC_LISTEN", "TOLLWAY_METRICS_LISTEN"])
async def test_a_taken_port_is_named_in_one_line(variable: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        plane = await Site(NOWHERE).spawn(**{variable: f"127.0.0.1:{port}"})
        assert await plane.ended() == 1
    told = [line for line in plane.lines if line.startswith(variable)]
    assert len(told) == 1, plane.log
    assert f"port {port}" in told[0]
    assert "Traceback" not in plane.log


async def test_two_processes_cannot_share_a_grpc_port(site: Site) -> None:
    first = await site.start()
    second = await site.spawn(TOLLWAY_GRPC_LISTEN=first.grpc)
    assert await second.ended() == 1
    assert "TOLLWAY_GRPC_LISTEN" in second.log


async def test_an_unencrypted_listener_can_be_asked_for_out_loud(site: Site) -> None:
    plane = await site.start(
        TOLLWAY_INSECURE_ADMIN="1", TOLLWAY_ADMIN_LISTEN="0.0.0.0:0", TOLLWAY_GRPC_LISTEN="0.0.0.0:0"
    )
    assert plane.admin.startswith("0.0.0.0:")


async def test_another_key_than_the_databases_stops_the_process(site: Site) -> None:
    first = await site.start()
    status, _ = await first.call("POST", "/v1/teams?team_id=a", {})
    assert status == 200
    assert (await first.call("POST", "/v1/teams/a/keys?key_id=b", {}))[0] == 200
    upstream = {"provider": "openai", "secret": {"value": "sk-0123456789"}}
    assert (await first.call("POST", "/v1/upstreams?upstream_id=c", upstream))[0] == 200
    await first.stop()
    for variable in ("TOLLWAY_ENCRYPTION_KEY", "TOLLWAY_KEY_PEPPER"):
        second = await site.spawn(**{variable: "another-0123456789abcdefghijklmnop"})
        assert await second.ended() == 1
        assert [line for line in second.lines if line.startswith(f"{variable}: ")], second.log
        assert "Traceback" not in second.log


async def test_it_starts_without_an_admin_token_and_refuses_every_call(site: Site) -> None:
    plane = await site.start(TOLLWAY_ADMIN_TOKEN="")
    status, body = await plane.call("GET", "/v1/teams")
    assert status == 401
    assert "TOLLWAY_ADMIN_TOKEN" in body["error"]["message"]


async def test_a_wrong_database_is_waited_for_and_told_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = Site(f"postgresql://u:hunter2@127.0.0.1:{port}/d")
    plane = await site.spawn()
    await plane.wait_listening()
    async with asyncio.timeout(10):
        while f"127.0.0.1:{port}/d" not in plane.log:
            await asyncio.sleep(0.05)
    status, text = await plane.readiness()
    assert status == 503
    assert f"127.0.0.1:{port}" in text
    assert "hunter2" not in plane.log + text
    assert await plane.stop() == 0
