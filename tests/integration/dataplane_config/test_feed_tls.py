from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dataplane.config.endpoints import FeedTls
from tests.integration.dataplane_config.scripted_feed import ScriptedFeed, serving, until
from tests.integration.dataplane_config.subscriber import subscribing


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, PEM files and objects."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    certificate_path: Path
    key_path: Path


def make_identity(folder: Path, name: str, issuer: Identity | None = None) -> Identity:
    """A certificate for the DNS name `name`; without `issuer` a CA that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    certificate = builder.sign(key if issuer is None else issuer.key, hashes.SHA256())
    certificate_path, key_path = folder / f"{name}.crt", folder / f"{name}.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Identity(certificate, key, certificate_path, key_path)


def server_credentials(identity: Identity, client_ca: Identity | None = None) -> grpc.ServerCredentials:
    pair = (identity.key_path.read_bytes(), identity.certificate_path.read_bytes())
    if client_ca is None:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], client_ca.certificate_path.read_bytes(), require_client_auth=True)


async def test_each_side_checks_the_other(tmp_path: Path) -> None:
    ca = make_identity(tmp_path, "ca")
    server, client = make_identity(tmp_path, "localhost", ca), make_identity(tmp_path, "node", ca)
    scripted = ScriptedFeed()
    tls = FeedTls(ca.certificate_path, client.certificate_path, client.key_path)
    async with (
        serving(scripted, credentials=server_credentials(server, ca)) as port,
        subscribing(f"localhost:{port}", tls=tls) as plane,
    ):
        stream = await scripted.next_stream()
        await stream.send(1, reset=True)
        assert plane.holder.current is not None


@pytest.mark.parametrize("fault", ["foreign-ca", "no-client", "other-name", "no-file"])
async def test_a_fault_in_tls_is_logged_and_mends_when_the_files_do(
    fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca, foreign = make_identity(tmp_path, "ca"), make_identity(tmp_path, "foreign")
    server, client = make_identity(tmp_path, "localhost", ca), make_identity(tmp_path, "node", ca)
    if fault == "other-name":
        server = make_identity(tmp_path, "elsewhere", ca)
    trusted = tmp_path / "trusted.crt"
    if fault != "no-file":
        trusted.write_bytes((foreign if fault == "foreign-ca" else ca).certificate_path.read_bytes())
    shown = (None, None) if fault == "no-client" else (client.certificate_path, client.key_path)
    scripted = ScriptedFeed()
    async with (
        serving(scripted, credentials=server_credentials(server, ca)) as port,
        subscribing(f"localhost:{port}", tls=FeedTls(trusted, *shown)) as plane,
    ):
        await until(lambda: any("config feed is away" in record.getMessage() for record in caplog.records))
        assert plane.holder.current is None
        if fault in ("foreign-ca", "no-file"):
            trusted.write_bytes(ca.certificate_path.read_bytes())
            stream = await scripted.next_stream()
            await stream.send(1, reset=True)
            assert plane.holder.current is not None
