import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import pytest

from dataplane.settings import HELP, FeedSettings, FeedTls, FileSettings, Settings
from tollway.settings import Address, SettingsError, TlsFiles

TOKEN = "plane-token-0123456789"
REQUIRED = {
    "TOLLWAY_CONTROLPLANE_ADDRESS": "127.0.0.1:8082",
    "TOLLWAY_PLANE_TOKEN": TOKEN,
    "TOLLWAY_NATS_URL": "nats://user:nats-password@nats:4222",
}


def read(**variables: str) -> Settings:
    return Settings.from_environment({**REQUIRED, **variables})


def problem(environ: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment(environ)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_defaults_are_those_of_the_contract() -> None:
    settings = read()

    assert settings.api.listen == Address("0.0.0.0", 8080)
    assert settings.metrics_listen == Address("0.0.0.0", 9090)
    assert settings.api.tls is None
    assert (settings.api.max_body_bytes, settings.api.body_timeout_s, settings.api.max_in_flight) == (8 << 20, 30, 2048)
    assert (settings.drain.delay_s, settings.drain.timeout_s) == (5, 300)
    assert (settings.workers, settings.log_level, settings.is_tracing) == (1, "info", False)
    assert settings.node != ""
    assert isinstance(settings.config, FeedSettings)
    assert settings.config.addresses == (Address("127.0.0.1", 8082),)
    assert settings.config.tls is None


def test_nothing_set_names_what_is_missing() -> None:
    assert problem({}) == (
        "TOLLWAY_CONTROLPLANE_ADDRESS: is required; set it to host:port,..., or set TOLLWAY_CONFIG_FILE"
    )


def test_the_feed_needs_its_token() -> None:
    assert problem({**REQUIRED, "TOLLWAY_PLANE_TOKEN": ""}).startswith("TOLLWAY_PLANE_TOKEN: is required")
    assert problem({**REQUIRED, "TOLLWAY_PLANE_TOKEN": "short"}).startswith("TOLLWAY_PLANE_TOKEN: has 5 characters")


def test_a_config_file_stands_in_for_the_control_plane(tmp_path: Path) -> None:
    environ = {"TOLLWAY_CONFIG_FILE": str(tmp_path), "TOLLWAY_NATS_URL": "nats://nats:4222"}

    assert Settings.from_environment(environ).config == FileSettings(tmp_path)
    assert "is set beside TOLLWAY_CONTROLPLANE_ADDRESS" in problem({**REQUIRED, **environ})
    missing = problem({**environ, "TOLLWAY_CONFIG_FILE": str(tmp_path / "none")})
    assert missing.startswith("TOLLWAY_CONFIG_FILE: ")
    assert "does not exist" in missing


def test_nats_is_required_but_with_a_config_file_usage_may_stay_in_the_spool(tmp_path: Path) -> None:
    with_feed = {"TOLLWAY_CONTROLPLANE_ADDRESS": "127.0.0.1:1", "TOLLWAY_PLANE_TOKEN": secrets.token_hex(32)}
    assert problem(with_feed).startswith("TOLLWAY_NATS_URL: is required")
    assert Settings.from_environment({"TOLLWAY_CONFIG_FILE": str(tmp_path)}).usage.nats_urls == ()


def test_several_nats_servers_are_read_and_their_passwords_not_shown() -> None:
    settings = read(TOLLWAY_NATS_URL="nats://a:pw-one@one:4222, tls://b:pw-two@two:4222")

    assert settings.usage.nats_urls == ("nats://a:pw-one@one:4222", "tls://b:pw-two@two:4222")
    assert "pw-" not in repr(settings)


def test_secrets_show_in_no_repr_and_no_error() -> None:
    assert TOKEN not in repr(read())
    assert "nats-password" not in repr(read())
    wrong = problem({**REQUIRED, "TOLLWAY_NATS_URL": "http://user:nats-password@nats:4222"})
    assert wrong.startswith("TOLLWAY_NATS_URL: ")
    assert "nats-password" not in wrong


def test_a_feed_beyond_this_machine_is_not_dialled_in_plaintext_by_accident(tmp_path: Path) -> None:
    far = {"TOLLWAY_CONTROLPLANE_ADDRESS": "127.0.0.1:8082,controlplane:8082"}
    ca = tmp_path / "ca.pem"
    ca.write_text("")

    message = problem({**REQUIRED, **far})
    assert message.startswith("TOLLWAY_CONTROLPLANE_ADDRESS: controlplane:8082 is beyond this machine")
    assert "TOLLWAY_TLS_CA" in message
    assert "TOLLWAY_INSECURE_PLANE=1" in message

    accepted = read(**far, TOLLWAY_INSECURE_PLANE="1").config
    assert isinstance(accepted, FeedSettings)
    assert accepted.tls is None
    secured = read(**far, TOLLWAY_TLS_CA=str(ca)).config
    assert isinstance(secured, FeedSettings)
    assert secured.tls == FeedTls(ca, None)


def test_client_and_server_certificates_are_files_with_their_keys(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path in (cert, key):
        path.write_text("")

    settings = read(
        TOLLWAY_TLS_CERT=str(cert),
        TOLLWAY_TLS_KEY=str(key),
        TOLLWAY_API_TLS_CERT=str(cert),
        TOLLWAY_API_TLS_KEY=str(key),
    )

    assert isinstance(settings.config, FeedSettings)
    assert settings.config.tls == FeedTls(None, TlsFiles(cert, key))
    assert settings.api.tls == TlsFiles(cert, key)
    assert problem({**REQUIRED, "TOLLWAY_API_TLS_CERT": str(cert)}).startswith("TOLLWAY_API_TLS_KEY: is required")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOLLWAY_LISTEN", "8080"),
        ("TOLLWAY_METRICS_LISTEN", "localhost"),
        ("TOLLWAY_WORKERS", "0"),
        ("TOLLWAY_WORKERS", "two"),
        ("TOLLWAY_DRAIN_DELAY_S", "-1"),
        ("TOLLWAY_DRAIN_TIMEOUT_S", "nan"),
        ("TOLLWAY_MAX_BODY_BYTES", "8MiB"),
        ("TOLLWAY_BODY_TIMEOUT_S", "0"),
        ("TOLLWAY_MAX_IN_FLIGHT", "20000"),
        ("TOLLWAY_LOG_LEVEL", "loud"),
        ("TOLLWAY_INSECURE_PLANE", "maybe"),
        ("TOLLWAY_TLS_CA", "/nowhere/ca.pem"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(variable: str, value: str) -> None:
    assert problem({**REQUIRED, variable: value}).startswith(f"{variable}: ")


def test_running_calls_leave_room_for_a_hundred_thousand_events() -> None:
    from dataplane.metering.emitter import CAPACITY_EVENTS, RESERVED_EVENTS_PER_CALL

    most = read(TOLLWAY_MAX_IN_FLIGHT="10000").api.max_in_flight

    assert CAPACITY_EVENTS - RESERVED_EVENTS_PER_CALL * (most + 1) >= 100_000


@pytest.mark.parametrize(
    ("variables", "is_tracing"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            True,
        ),
    ],
)
def test_tracing_is_on_when_the_sdks_variables_say_so(variables: dict[str, str], is_tracing: bool) -> None:
    assert read(**variables).is_tracing is is_tracing


def test_a_protocol_that_is_not_spoken_is_refused() -> None:
    environ = {**REQUIRED, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}

    assert problem(environ).startswith("OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not spoken")


def test_help_lists_every_variable_that_is_read() -> None:
    root = Path(__file__).parents[3]
    sources = "".join((root / plane / "settings.py").read_text() for plane in ("dataplane", "tollway"))
    read_variables = set(re.findall(r'Variable\(\s*"(TOLLWAY_\w+)"', sources))

    assert len(read_variables) == 23
    assert all(f"\n  {name}  <" in HELP for name in read_variables)
