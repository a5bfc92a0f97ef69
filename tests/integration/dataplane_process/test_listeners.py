import asyncio
import os
import ssl
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509

from dataplane.listeners import ServerCertificate
from dataplane.settings import API_TLS_CERT
from tests.fakes.certificates import make_certificate
from tests.integration.dataplane_process.conftest import DataPlaneProcess, Site
from tests.integration.emitter.conftest import eventually
from tollway.settings import SettingsError, TlsFiles

BODY = {"model": "sim/echo", "messages": [{"role": "user", "content": "a"}]}


async def served_serial(port: int) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(certificate).serial_number


async def test_the_api_speaks_tls_where_it_has_a_certificate_and_metrics_stay_plain(site: Site, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    plane = await site.start(TOLLWAY_API_TLS_CERT=str(files.cert), TOLLWAY_API_TLS_KEY=str(files.key))
    url = plane.api_url.replace("http://", "https://")
    trust = ssl.create_default_context(cafile=str(files.cert))

    async with plane.session() as session:
        async with session.post(f"{url}/v1/chat/completions", json=BODY, ssl=trust) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{plane.api_url}/livez")


async def test_a_renewed_certificate_is_served_and_a_broken_one_is_not(tmp_path: Path) -> None:
    old = make_certificate(tmp_path)
    certificate = ServerCertificate(TlsFiles(old.cert, old.key), API_TLS_CERT)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context)
    port = server.sockets[0].getsockname()[1]
    try:
        assert await served_serial(port) == old.serial
        new = make_certificate(tmp_path)
        certificate.refresh()
        assert await served_serial(port) == new.serial
        new.key.write_text("broken")
        certificate.refresh()
        assert await served_serial(port) == new.serial
        new.key.unlink()
        certificate.refresh()
        assert await served_serial(port) == new.serial
    finally:
        server.close()


def test_files_without_a_certificate_are_refused_by_name(tmp_path: Path) -> None:
    good = make_certificate(tmp_path)
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    other = make_certificate(make_folder(tmp_path / "other"))

    for files in (TlsFiles(bad, good.key), TlsFiles(good.cert, other.key)):
        with pytest.raises(SettingsError, match=r"^TOLLWAY_API_TLS_CERT: no certificate and key can be loaded"):
            ServerCertificate(files, API_TLS_CERT)


async def test_a_certificate_that_is_bad_at_start_is_one_line(site: Site, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    files.cert.write_text("no certificate")
    plane = await site.spawn(TOLLWAY_API_TLS_CERT=str(files.cert), TOLLWAY_API_TLS_KEY=str(files.key))

    assert await plane.wait() == 2
    assert plane.reading is not None
    await plane.reading
    assert len(plane.lines) == 1
    assert plane.lines[0].startswith("TOLLWAY_API_TLS_CERT: ")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_secret_is_logged_whatever_comes_in(site: Site, workers: str) -> None:
    plane = await site.start(TOLLWAY_LOG_LEVEL="debug", TOLLWAY_WORKERS=workers)
    host, port = plane.api_url.removeprefix("http://").split(":")
    broken = [
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {site.key}\r\n\r\n",
        f"GET /v1/models?key={site.key} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.key}\x00\r\n\r\n",
        f"{site.key} nonsense\r\n\r\n",
        f"GET /nowhere?key={site.key} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {site.key}\r\nConnection: close\r\n\r\n",
        f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.key[:-1]}~\r\nConnection: close\r\n\r\n",
    ]
    for request in broken:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request.encode())
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1."), request
        assert 400 <= int(answer.split()[1]) < 500
        assert site.key.encode() not in answer
        writer.close()
    async with plane.session() as session, session.post(f"{plane.api_url}/v1/chat/completions", json=BODY) as response:
        assert response.status == 200
    await eventually(lambda: published(plane))
    site.nats.kill()
    await eventually(lambda: "lost the connection to NATS" in plane.log)
    plane.terminate()
    await plane.wait()

    password = site.nats.url().split(":")[2].split("@")[0]
    assert len(password) > 8
    assert site.key not in plane.log
    assert site.key[4:] not in plane.log
    assert password not in plane.log


async def published(plane: DataPlaneProcess) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.metrics_url}/metrics") as response:
        return "tollway_usage_published_events_total 1.0" in await response.text()


def make_folder(path: Path) -> Path:
    os.mkdir(path)
    return path
