"""The consumer's settings name what is wrong and never show a password."""

import pytest

from controlplane.consumer_settings import HELP, ConsumerSettings
from tollway.settings import SettingsError

GIVEN = {"TOLLWAY_DATABASE_URL": "postgresql://u:hush@h/d", "TOLLWAY_NATS_URL": "nats://u:hush@a:1, tls://u:hush@b:2"}


def test_defaults() -> None:
    settings = ConsumerSettings.from_environment(GIVEN)
    assert settings.nats_urls == ("nats://u:hush@a:1", "tls://u:hush@b:2")
    assert (settings.stream_max_bytes, settings.stream_replicas) == (10 << 30, 1)
    assert (settings.tap_days, settings.tap_max_bytes, settings.retention_days) == (7, 10 << 30, 400)
    assert str(settings.metrics_listen) == "0.0.0.0:9090"
    assert not settings.is_tracing
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOLLWAY_DATABASE_URL", ""),
        ("TOLLWAY_DATABASE_URL", "mysql://u:hush@h"),
        ("TOLLWAY_NATS_URL", ""),
        ("TOLLWAY_NATS_URL", "nats://a:1,"),
        ("TOLLWAY_NATS_URL", "nats://a:1,http://u:hush@b"),
        ("TOLLWAY_USAGE_STREAM_MAX_BYTES", "10GiB"),
        ("TOLLWAY_USAGE_STREAM_REPLICAS", "0"),
        ("TOLLWAY_USAGE_TAP_DAYS", "-1"),
        ("TOLLWAY_USAGE_TAP_MAX_BYTES", "1"),
        ("TOLLWAY_LEDGER_RETENTION_DAYS", "39"),
        ("TOLLWAY_METRICS_LISTEN", "nowhere"),
        ("TOLLWAY_LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"\A{name}: ") as caught:
        ConsumerSettings.from_environment(GIVEN | {name: value})
    assert "hush" not in str(caught.value)


def test_nothing_is_detached_and_no_tap_kept_where_that_is_said() -> None:
    settings = ConsumerSettings.from_environment(
        GIVEN | {"TOLLWAY_LEDGER_RETENTION_DAYS": "0", "TOLLWAY_USAGE_TAP_DAYS": "0"}
    )
    assert (settings.retention_days, settings.tap_days) == (0, 0)


def test_help_lists_every_variable() -> None:
    for name in (*GIVEN, "TOLLWAY_USAGE_STREAM_MAX_BYTES", "TOLLWAY_METRICS_LISTEN", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        assert name in HELP
