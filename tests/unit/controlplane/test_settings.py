"""Settings of the control plane."""

from pathlib import Path

import pytest

from controlplane.settings import HELP, Settings
from tollway.settings import Address, SettingsError

SECRETS = {
    "TOLLWAY_ENCRYPTION_KEY": "encryption-0123456789-abcdefghijk",
    "TOLLWAY_KEY_PEPPER": "pepper-0123456789-abcdefghijklmno",
    "TOLLWAY_PLANE_TOKEN": "twp_0123456789abcdef",
    "TOLLWAY_ADMIN_TOKEN": "twa_0123456789abcdefghij",
}
MINIMAL = {"TOLLWAY_DATABASE_URL": "postgresql://u:hunter2@h/d", **SECRETS}


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings.from_environment(MINIMAL)
    listen = settings.listen
    assert (listen.admin, listen.grpc) == (Address("127.0.0.1", 8081), Address("127.0.0.1", 8082))
    assert listen.metrics == Address("0.0.0.0", 9090)
    assert listen.tls is None
    assert (settings.is_notifying, settings.is_tracing, settings.log_level) == (True, False, "info")


def test_repr_shows_no_secret() -> None:
    shown = repr(Settings.from_environment(MINIMAL))
    assert not any(secret in shown for secret in (*SECRETS.values(), "hunter2"))


def test_without_an_admin_token_the_api_is_closed() -> None:
    given = {name: value for name, value in MINIMAL.items() if name != "TOLLWAY_ADMIN_TOKEN"}
    assert Settings.from_environment(given).secrets.admin_token is None


@pytest.mark.parametrize("name", [name for name in MINIMAL if name != "TOLLWAY_ADMIN_TOKEN"])
def test_what_is_required_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: is required"):
        Settings.from_environment({**MINIMAL, name: ""})


@pytest.mark.parametrize("name", ["TOLLWAY_ADMIN_LISTEN", "TOLLWAY_GRPC_LISTEN"])
def test_plaintext_beyond_loopback_must_be_said_out_loud(name: str, tmp_path: Path) -> None:
    beyond = {**MINIMAL, name: "0.0.0.0:1234"}
    with pytest.raises(SettingsError, match=f"^{name}: .*plaintext"):
        Settings.from_environment(beyond)
    Settings.from_environment({**beyond, "TOLLWAY_INSECURE_ADMIN": "1"})
    cert = tmp_path / "tls.crt"
    cert.write_text("x")
    tls = {"TOLLWAY_TLS_CERT": str(cert), "TOLLWAY_TLS_KEY": str(cert)}
    assert Settings.from_environment({**beyond, **tls}).listen.tls is not None


@pytest.mark.parametrize(
    ("variables", "is_tracing"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_tracing_follows_the_standard_variables(variables: dict[str, str], is_tracing: bool) -> None:
    assert Settings.from_environment({**MINIMAL, **variables}).is_tracing is is_tracing


def test_help_names_what_is_read() -> None:
    for name in MINIMAL:
        assert f"  {name}  <" in HELP
