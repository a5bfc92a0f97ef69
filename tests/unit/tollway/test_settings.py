"""Environment variables are read typed, and what is wrong is said in one line that names the variable."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.settings import (
    Address,
    Environment,
    Secret,
    SettingsError,
    TlsFiles,
    Variable,
    help_text,
    settings_or_exit,
)

LISTEN = Variable("TOLLWAY_LISTEN", "host:port", "where apps call", default="0.0.0.0:8080")
NAME = Variable("TOLLWAY_NAME", "text", "a name", required=True)
PLAIN = Variable("TOLLWAY_PLAIN", "text", "something")
CERT = Variable("TOLLWAY_TLS_CERT", "path", "certificate")
KEY = Variable("TOLLWAY_TLS_KEY", "path", "key")
GOOD_SECRET = "0123456789abcdef0123456789abcdef"


def environment(**values: str) -> Environment:
    return Environment(values)


@pytest.mark.parametrize(
    ("text", "expected", "is_loopback"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80), True),
        ("localhost:0", Address("localhost", 0), True),
        ("[::1]:8080", Address("::1", 8080), True),
        ("[::]:8080", Address("::", 8080), False),
        (":9", Address("0.0.0.0", 9), False),
        ("controlplane.svc:8082", Address("controlplane.svc", 8082), False),
        ("10.0.0.1:65535", Address("10.0.0.1", 65535), False),
    ],
)
def test_addresses_are_parsed(text: str, expected: Address, is_loopback: bool) -> None:
    address = environment(TOLLWAY_LISTEN=text).address(LISTEN)
    assert address == expected
    assert address.is_loopback is is_loopback


@pytest.mark.parametrize("text", ["8080", "host", "host:", "h:65536", "h:-1", "h:x", "::1:80", "http://h:80", "a b:1"])
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOLLWAY_LISTEN: ") as caught:
        environment(TOLLWAY_LISTEN=text).address(LISTEN)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_an_address_or_one_line_of_error(text: str) -> None:
    try:
        address = environment(TOLLWAY_LISTEN=text).address(LISTEN)
    except SettingsError as error:
        assert str(error).startswith("TOLLWAY_LISTEN: ")
        assert len(str(error).splitlines()) == 1
    else:
        assert 0 <= address.port <= 65535


def test_several_addresses_are_split_at_commas() -> None:
    found = environment(TOLLWAY_LISTEN="a:1, b:2,").addresses(LISTEN)
    assert found == (Address("a", 1), Address("b", 2))
    with pytest.raises(SettingsError, match="cannot be connected to"):
        environment(TOLLWAY_LISTEN="a:0").addresses(LISTEN)


def test_an_empty_value_counts_as_unset() -> None:
    assert environment(TOLLWAY_LISTEN=" ").address(LISTEN) == Address("0.0.0.0", 8080)
    assert environment(TOLLWAY_PLAIN="").optional_text(PLAIN) is None
    with pytest.raises(SettingsError, match="TOLLWAY_NAME: is required"):
        environment(TOLLWAY_NAME="").text(NAME)


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("TRUE", True), ("off", False), ("0", False), ("", False)])
def test_booleans(text: str, expected: bool) -> None:
    assert environment(TOLLWAY_PLAIN=text).boolean(PLAIN) is expected


def test_a_word_is_no_boolean() -> None:
    with pytest.raises(SettingsError, match="TOLLWAY_PLAIN: 'maybe'"):
        environment(TOLLWAY_PLAIN="maybe").boolean(PLAIN)


@pytest.mark.parametrize("text", ["0", "11", "1.5", "x", "\u0665"])
def test_integers_outside_the_range_are_refused(text: str) -> None:
    assert environment(TOLLWAY_PLAIN="10").integer(PLAIN, minimum=1, maximum=10) == 10
    with pytest.raises(SettingsError, match="from 1 to 10"):
        environment(TOLLWAY_PLAIN=text).integer(PLAIN, minimum=1, maximum=10)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "x", "1e9"])
def test_seconds_outside_the_range_are_refused(text: str) -> None:
    assert environment(TOLLWAY_PLAIN="0.5").seconds(PLAIN, minimum=0, maximum=60) == 0.5
    with pytest.raises(SettingsError, match="seconds from 0 to 60"):
        environment(TOLLWAY_PLAIN=text).seconds(PLAIN, minimum=0, maximum=60)


@pytest.mark.parametrize("text", ["short", "a" * 40, "abcdeabcdeabcdeabcdeabcde", GOOD_SECRET + "\u00e9"])
def test_weak_secrets_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(SettingsError, match="openssl rand") as caught:
        environment(TOLLWAY_PLAIN=text).secret(PLAIN, minimum_length=20)
    assert text not in str(caught.value)


def test_secrets_redact_themselves() -> None:
    secret = environment(TOLLWAY_PLAIN=GOOD_SECRET).secret(PLAIN, minimum_length=20)
    assert secret.reveal() == GOOD_SECRET
    assert secret == Secret(GOOD_SECRET)
    assert GOOD_SECRET not in f"{secret} {secret!r} {[secret]}"


@pytest.mark.parametrize(
    "text", ["mysql://h/d", "postgresql//h", "h:5432", "postgresql://h:port/d", "postgresql://[h/d"]
)
def test_a_wrong_url_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOLLWAY_PLAIN: must be an URL like postgresql://") as caught:
        environment(TOLLWAY_PLAIN=text).url(PLAIN, ["postgresql", "postgres"])
    assert text not in str(caught.value)


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    cert.write_text("c")
    key.write_text("k")
    both = environment(TOLLWAY_TLS_CERT=str(cert), TOLLWAY_TLS_KEY=str(key))
    assert both.optional_tls(CERT, KEY) == TlsFiles(cert, key)
    assert environment().optional_tls(CERT, KEY) is None
    with pytest.raises(SettingsError, match=r"^TOLLWAY_TLS_KEY: is required, because TOLLWAY_TLS_CERT"):
        environment(TOLLWAY_TLS_CERT=str(cert)).optional_tls(CERT, KEY)
    with pytest.raises(SettingsError, match=r"^TOLLWAY_TLS_CERT: .* is not a file"):
        environment(TOLLWAY_TLS_CERT=str(tmp_path / "absent")).optional_tls(CERT, KEY)


def test_help_lists_every_variable_with_unit_and_default() -> None:
    page = help_text("tollway-x", "Does x.", [LISTEN, NAME, PLAIN])
    assert "TOLLWAY_LISTEN  <host:port>  (default: 0.0.0.0:8080)" in page
    assert "TOLLWAY_NAME  <text>  (required)" in page
    assert "TOLLWAY_PLAIN  <text>  (default: none)" in page


def test_a_process_answers_help_and_bad_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise SettingsError("TOLLWAY_NAME: is required")

    for arguments, code, out, err in (
        (["--help"], 0, "HELP", ""),
        (["serve"], 2, "", "unknown argument 'serve'; settings are environment variables, see --help\n"),
        ([], 2, "", "TOLLWAY_NAME: is required\n"),
    ):
        monkeypatch.setattr(sys, "argv", ["tollway-x", *arguments])
        with pytest.raises(SystemExit) as caught:
            settings_or_exit("HELP", refuse)
        assert caught.value.code == code
        assert capsys.readouterr() == (out, err)
