"""TLS on both listeners, client certificates on gRPC, and certificates that change."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import grpc
import pytest
from cryptography import x509

from controlplane.transport.tls import Certificates, TlsError
from tests.fakes.certificates import CertificateFiles, make_certificate
from tests.integration.transport.admin_server import TOKEN, AdminServer, admin_server
from tollway.admin.v1.teams_pb2 import ListTeamsRequest
from tollway.admin.v1.teams_pb2_grpc import TeamServiceStub
from tollway.settings import TlsFiles

if TYPE_CHECKING:
    from tollway.admin.v1.teams_pb2_grpc import TeamServiceAsyncStub

METADATA = (("authorization", f"Bearer {TOKEN}"),)


@pytest.fixture
def served(tmp_path: Path) -> CertificateFiles:
    folder = tmp_path / "server"
    folder.mkdir()
    return make_certificate(folder)


@pytest.fixture
def client(tmp_path: Path) -> CertificateFiles:
    folder = tmp_path / "client"
    folder.mkdir()
    return make_certificate(folder)


@asynccontextmanager
async def grpc_teams(
    server: AdminServer, ca: CertificateFiles, client: CertificateFiles | None = None
) -> AsyncIterator["TeamServiceAsyncStub"]:
    credentials = grpc.ssl_channel_credentials(
        ca.cert.read_bytes(),
        None if client is None else client.key.read_bytes(),
        None if client is None else client.cert.read_bytes(),
    )
    async with grpc.aio.secure_channel(server.grpc_address, credentials) as channel:
        yield TeamServiceStub(channel)


async def served_serial(server: AdminServer) -> int:
    """Serial number of the certificate that the REST listener shows to a new connection."""
    host, _, port = server.url.removeprefix("https://").partition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(shown).serial_number


async def test_both_listeners_show_the_certificate(served: CertificateFiles) -> None:
    async with admin_server(TlsFiles(served.cert, served.key)) as server:
        context = ssl.create_default_context(cafile=str(served.cert))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(server.url, headers=headers) as session,
            session.get("/v1/teams", ssl=context) as response,
        ):
            assert response.status == 200
        async with grpc_teams(server, served) as teams:
            await teams.ListTeams(ListTeamsRequest(), metadata=METADATA)


async def test_plaintext_is_not_spoken_to_a_tls_listener(served: CertificateFiles) -> None:
    async with admin_server(TlsFiles(served.cert, served.key)) as server:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"{server.url.replace('https', 'http')}/livez")
        async with grpc.aio.insecure_channel(server.grpc_address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await TeamServiceStub(channel).ListTeams(ListTeamsRequest(), metadata=METADATA)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_with_a_ca_grpc_clients_must_prove_themselves(served: CertificateFiles, client: CertificateFiles) -> None:
    async with admin_server(TlsFiles(served.cert, served.key, ca=client.cert)) as server:
        async with grpc_teams(server, served, client) as teams:
            await teams.ListTeams(ListTeamsRequest(), metadata=METADATA)
        for stranger in (None, served):
            async with grpc_teams(server, served, stranger) as teams:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await teams.ListTeams(ListTeamsRequest(), metadata=METADATA)
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_taken_over_by_both_listeners(served: CertificateFiles) -> None:
    async with admin_server(TlsFiles(served.cert, served.key)) as server:
        assert server.certificates is not None
        assert await served_serial(server) == served.serial
        assert not server.certificates.reload_if_changed()
        renewed = make_certificate(served.cert.parent)
        assert server.certificates.reload_if_changed()
        assert await served_serial(server) == renewed.serial
        async with grpc_teams(server, renewed) as teams:
            await teams.ListTeams(ListTeamsRequest(), metadata=METADATA)


async def test_a_broken_renewal_leaves_the_good_certificate(served: CertificateFiles, client: CertificateFiles) -> None:
    async with admin_server(TlsFiles(served.cert, served.key)) as server:
        assert server.certificates is not None
        served.key.write_bytes(client.key.read_bytes())
        assert not server.certificates.reload_if_changed()
        assert await served_serial(server) == served.serial
        served.cert.unlink()
        assert not server.certificates.reload_if_changed()
        assert await served_serial(server) == served.serial


def test_files_that_do_not_fit_are_refused_by_name(served: CertificateFiles, client: CertificateFiles) -> None:
    with pytest.raises(TlsError, match=r"cert\.pem and .*key\.pem"):
        Certificates(TlsFiles(served.cert, client.key))
    with pytest.raises(TlsError, match=r"key\.pem holds no PEM certificates"):
        Certificates(TlsFiles(served.cert, served.key, ca=client.key))
