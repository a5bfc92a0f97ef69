"""Posting to receivers that take, fail, hang, redirect, or are where nothing may be sent."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from controlplane.transport.webhooks import WebhookClient
from tests.fakes.certificates import make_certificate
from tests.integration.alerts.receiver import WebhookReceiver
from tollctl.local.ports import find_free_port

BODY = b'{"text":"hello"}'


async def test_what_is_posted_arrives_as_it_is(receiver: WebhookReceiver) -> None:
    answer = await WebhookClient().post(receiver.url, {"webhook-id": "a"}, BODY)
    assert answer.is_taken
    [received] = receiver.received
    assert received.body == BODY
    assert received.path == "/hook"
    assert received.headers["webhook-id"] == "a"
    assert received.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
async def test_other_statuses_are_failures(receiver: WebhookReceiver, status: int) -> None:
    receiver.answers = [(status, {})]
    answer = await WebhookClient().post(receiver.url, {}, BODY)
    assert (answer.is_taken, answer.reason) == (False, f"answered {status}")


@pytest.mark.parametrize(("said", "seconds"), [("30", 30), ("soon", 0), ("-1", 0), ("9" * 30, 0)])
async def test_a_pause_that_is_asked_for_is_told(receiver: WebhookReceiver, said: str, seconds: int) -> None:
    receiver.answers = [(429, {"retry-after": said})]
    answer = await WebhookClient().post(receiver.url, {}, BODY)
    assert (answer.is_taken, answer.retry_after_s) == (False, seconds)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(receiver: WebhookReceiver, status: int) -> None:
    receiver.answers = [(status, {"location": receiver.url.replace("/hook", "/elsewhere")}), (200, {})]
    answer = await WebhookClient().post(receiver.url, {}, BODY)
    assert not answer.is_taken
    assert "redirects are not followed" in answer.reason
    assert [received.path for received in receiver.received] == ["/hook"]


async def test_a_receiver_that_hangs_is_left(receiver: WebhookReceiver) -> None:
    receiver.answers = ["hang"]
    answer = await WebhookClient(timeout_s=0.2).post(receiver.url, {}, BODY)
    assert (answer.is_taken, answer.reason) == (False, "did not answer within 0.2 s")


async def test_a_receiver_that_is_away_is_told() -> None:
    answer = await WebhookClient().post(f"http://127.0.0.1:{find_free_port()}/secret-path", {}, BODY)
    assert answer.reason == "cannot be reached: connection refused"


async def test_a_receiver_that_speaks_no_http_is_told() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00" * 100)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer = await WebhookClient().post(f"http://127.0.0.1:{port}/secret-path", {}, BODY)
    assert not answer.is_taken
    assert "secret-path" not in answer.reason


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "100.100.100.200", "[fd00:ec2::254]", "0.0.0.0"],
)
async def test_link_local_and_metadata_addresses_are_never_connected_to(host: str) -> None:
    answer = await WebhookClient(timeout_s=2).post(f"http://{host}/latest", {}, BODY)
    assert answer.reason == "the URL leads to a link-local or metadata address, where nothing is sent"


async def test_a_name_is_checked_by_where_it_leads(monkeypatch: pytest.MonkeyPatch, receiver: WebhookReceiver) -> None:
    loop, port = asyncio.get_running_loop(), int(receiver.url.rpartition(":")[2].partition("/")[0])
    resolve = loop.getaddrinfo

    async def lead_astray(host: str, *args: object, **options: object) -> object:
        target = "169.254.169.254" if host == "hooks.example.com" else host
        return await resolve(target, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "getaddrinfo", lead_astray)
    answer = await WebhookClient(timeout_s=2).post(f"http://hooks.example.com:{port}/", {}, BODY)
    assert answer.reason == "the URL leads to a link-local or metadata address, where nothing is sent"
    assert receiver.received == []


async def test_a_certificate_must_be_valid(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    answer = await WebhookClient().post(f"https://localhost:{runner.addresses[0][1]}/", {}, BODY)
    await runner.cleanup()
    assert answer.reason == "the certificate is not valid for this host"


async def test_an_answer_without_end_is_not_read(receiver: WebhookReceiver) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer = await asyncio.wait_for(WebhookClient().post(f"http://127.0.0.1:{port}/", {}, BODY), 5)
    assert answer.is_taken
