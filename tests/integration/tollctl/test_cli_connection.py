"""TLS, and what a command costs to start, with the command line as a process."""

import ipaddress
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.admin_api import ADMIN_TOKEN, Reply, ScriptedApi, run_tollctl, scripted_api

HEAVY = {"yaml", "asyncio", "google.protobuf", "grpc", "aiohttp", "rich", "pydantic", "nats", "sqlalchemy"}


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tollway test")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    builder = builder.add_extension(names, False).add_extension(x509.BasicConstraints(True, None), True)
    certificate = builder.sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + pem)
    return path


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


@pytest.fixture
def api(certificate: Path) -> Iterator[ScriptedApi]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with scripted_api(context) as api:
        api.replies["GET /v1/teams"] = Reply({"teams": []})
        yield api


def test_certificates_are_checked(api: ScriptedApi, certificate: Path, tmp_path: Path) -> None:
    arguments = ("get", "teams", "--server", api.url, "--token", ADMIN_TOKEN)
    trusted = run_tollctl(*arguments, "--ca-file", str(certificate), folder=tmp_path)
    assert trusted.returncode == 0, trusted.stderr
    by_variable = run_tollctl(*arguments, folder=tmp_path, environ={"TOLLWAY_TLS_CA": str(certificate)})
    assert by_variable.returncode == 0, by_variable.stderr
    foreign = run_tollctl(*arguments, folder=tmp_path)
    assert foreign.returncode == 4 and "not trusted" in foreign.stderr and "--ca-file" in foreign.stderr
    assert len(api.asked) == 2, "nothing is asked of a server that is not trusted"


def test_unreadable_certificates(api: ScriptedApi, tmp_path: Path) -> None:
    done = run_tollctl("get", "teams", "--server", api.url, "--ca-file", "gone.pem", folder=tmp_path)
    assert done.returncode == 1 and "gone.pem" in done.stderr and done.stderr.count("\n") == 1


def test_plain_http_at_a_tls_port(api: ScriptedApi, tmp_path: Path) -> None:
    done = run_tollctl("get", "teams", "--server", api.url.replace("https", "http"), folder=tmp_path)
    assert done.returncode == 4 and "is unreachable" in done.stderr


def test_reading_a_list_imports_nothing_heavy(tmp_path: Path) -> None:
    with scripted_api() as api:
        api.replies["GET /v1/teams"] = Reply({"teams": [{"name": "teams/a"}]})
        command = [sys.executable, "-X", "importtime", "-m", "tollctl.main", "get", "teams", "--server", api.url]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert "tollctl.client" in imported and not imported & HEAVY
