"""Typed reading of environment variables, and the --help text that lists them.

A service declares each variable once as a `Variable` and reads it through an `Environment`:

    LISTEN = Variable("TOLLWAY_LISTEN", unit="host:port", default="0.0.0.0:8080", description="the apps' API")

    environment = Environment(os.environ)
    listen = environment.address(LISTEN)

A variable that is set to the empty string counts as unset. Every reader raises SettingsError, whose text is one line
that names the variable and what to do; it never shows the value of a secret. A main starts with

    settings = settings_or_exit(HELP, Settings.from_environment)
"""

import ipaddress
import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_HELP_WIDTH = 110
_T = TypeVar("_T")
_LEAST_DISTINCT_CHARACTERS = 6


class SettingsError(Exception):
    """A setting is missing or wrong; the text is one line: `TOLLWAY_X: what is wrong and what to do`."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: `unit` says how the value is written (`host:port`, `s`, `bytes`, `path`, ...)."""

    name: str
    unit: str
    description: str
    default: str = ""
    required: bool = False

    def fail(self, problem: str) -> NoReturn:
        """Raises SettingsError for this variable."""
        raise SettingsError(f"{self.name}: {problem}")


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port to listen on or to connect to; port 0 means a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A secret that repr, str and logs do not show; `reveal` returns it."""

    value: str

    def __repr__(self) -> str:
        return "Secret(redacted)"

    __str__ = __repr__

    def reveal(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of a PEM certificate chain, its private key, and the CA that peers are checked with."""

    cert: Path
    key: Path
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """Reads variables out of an environment, typed."""

    values: Mapping[str, str]

    def optional_text(self, variable: Variable) -> str | None:
        """The value, else the default; None when neither is there and the variable is not required."""
        value = self.values.get(variable.name, "").strip() or variable.default
        if not value and variable.required:
            variable.fail(f"is required; set it to {variable.unit} ({variable.description})")
        return value or None

    def text(self, variable: Variable) -> str:
        return self._given(variable, self.optional_text(variable))

    def choice(self, variable: Variable, choices: Sequence[str]) -> str:
        value = self.text(variable).lower()
        if value not in choices:
            variable.fail(f"{_shown(value)} is none of {', '.join(choices)}; set it to one of them")
        return value

    def boolean(self, variable: Variable) -> bool:
        value = (self.optional_text(variable) or "0").lower()
        if value not in _TRUE | _FALSE:
            variable.fail(f"{_shown(value)} is neither 1 nor 0; set it to one of them")
        return value in _TRUE

    def integer(self, variable: Variable, *, minimum: int, maximum: int) -> int:
        text = self.text(variable)
        try:
            value = int(text) if text.isascii() else None
        except ValueError:
            value = None
        if value is None or not minimum <= value <= maximum:
            variable.fail(f"{_shown(text)} is not an integer from {minimum} to {maximum} ({variable.unit})")
        return value

    def seconds(self, variable: Variable, *, minimum: float, maximum: float) -> float:
        text = self.text(variable)
        try:
            value = float(text)
        except ValueError:
            value = None
        if value is None or not minimum <= value <= maximum:
            variable.fail(f"{_shown(text)} is not a number of seconds from {minimum:g} to {maximum:g}")
        return value

    def optional_address(self, variable: Variable) -> Address | None:
        text = self.optional_text(variable)
        return None if text is None else _parse_address(variable, text)

    def address(self, variable: Variable) -> Address:
        """host:port, [v6]:port or :port (all interfaces)."""
        return self._given(variable, self.optional_address(variable))

    def addresses(self, variable: Variable) -> tuple[Address, ...]:
        """One or more addresses to connect to, with commas; () when the variable is unset and not required."""
        parts = [part.strip() for part in (self.optional_text(variable) or "").split(",")]
        found = tuple(_parse_address(variable, part) for part in parts if part)
        for address in found:
            if not address.host or address.port == 0:
                variable.fail(f"{_shown(str(address))} cannot be connected to; give a host and a port above 0")
        return found

    def optional_url(self, variable: Variable, schemes: Sequence[str]) -> str | None:
        """An absolute URL; errors do not show it, for it may hold a password."""
        text = self.optional_text(variable)
        if text is None:
            return None
        expected = f"must be an URL like {schemes[0]}://host:port"
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError as error:
            variable.fail(f"{expected}; its host or port cannot be read ({type(error).__name__})")
        if parts.scheme not in schemes:
            variable.fail(f"{expected}; its scheme is none of {', '.join(schemes)}")
        return text

    def url(self, variable: Variable, schemes: Sequence[str]) -> str:
        return self._given(variable, self.optional_url(variable, schemes))

    def optional_secret(self, variable: Variable, *, minimum_length: int) -> Secret | None:
        """A secret of at least `minimum_length` characters that is not obviously weak."""
        text = self.optional_text(variable)
        if text is None:
            return None
        if len(text) < minimum_length:
            variable.fail(
                f"has {len(text)} characters and needs at least {minimum_length}; make one with: openssl rand -hex 32"
            )
        if len(set(text)) < _LEAST_DISTINCT_CHARACTERS:
            variable.fail("is too easy to guess; make one with: openssl rand -hex 32")
        if not text.isascii() or not text.isprintable():
            variable.fail("has characters other than printable ASCII; make one with: openssl rand -hex 32")
        return Secret(text)

    def secret(self, variable: Variable, *, minimum_length: int) -> Secret:
        return self._given(variable, self.optional_secret(variable, minimum_length=minimum_length))

    def optional_path(self, variable: Variable) -> Path | None:
        """A path that need not exist yet."""
        text = self.optional_text(variable)
        return None if text is None else Path(text).expanduser()

    def optional_file(self, variable: Variable) -> Path | None:
        """The path of a readable file."""
        path = self.optional_path(variable)
        if path is None:
            return None
        if not path.is_file():
            variable.fail(f"{_shown(str(path))} is not a file; give the path of one")
        if not os.access(path, os.R_OK):
            variable.fail(f"{_shown(str(path))} cannot be read by this user; change its mode or owner")
        return path

    def optional_tls(self, cert: Variable, key: Variable, ca: Variable | None = None) -> TlsFiles | None:
        """A certificate with its key; None when neither is set. One without the other is an error."""
        cert_path, key_path = self.optional_file(cert), self.optional_file(key)
        if cert_path is None and key_path is None:
            return None
        if cert_path is None:
            cert.fail(f"is required, because {key.name} is set; give the path of the PEM certificate chain")
        if key_path is None:
            key.fail(f"is required, because {cert.name} is set; give the path of its PEM private key")
        return TlsFiles(cert_path, key_path, None if ca is None else self.optional_file(ca))

    def _given(self, variable: Variable, value: _T | None) -> _T:
        if value is None:
            variable.fail(f"is required; set it to {variable.unit} ({variable.description})")
        return value


def help_text(program: str, summary: str, variables: Sequence[Variable]) -> str:
    """What `PROGRAM --help` prints: each variable with its unit, its default and what it is for."""
    lines = [f"Usage: {program} [--help]", "", summary, "", "Settings come from environment variables:", ""]
    for variable in variables:
        fallback = "required" if variable.required else f"default: {variable.default or 'none'}"
        lines.append(f"  {variable.name}  <{variable.unit}>  ({fallback})")
        lines.extend(
            textwrap.wrap(variable.description, _HELP_WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
        )
    return "\n".join(lines) + "\n"


def settings_or_exit(help_page: str, from_environment: Callable[[Mapping[str, str]], _T]) -> _T:
    """The settings of this process; answers --help, and a wrong argument or setting by one line and exit code 2."""
    arguments = sys.argv[1:]
    if arguments and set(arguments) <= {"--help", "-h"}:
        sys.stdout.write(help_page)
        raise SystemExit(0)
    try:
        if arguments:
            raise SettingsError(
                f"unknown argument {_shown(arguments[0])}; settings are environment variables, see --help"
            )
        return from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _parse_address(variable: Variable, text: str) -> Address:
    host, separator, port_text = text.rpartition(":")
    is_port = port_text.isascii() and port_text.isdecimal() and int(port_text) <= 65535
    if not separator or not is_port:
        variable.fail(f"{_shown(text)} is not host:port with a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        variable.fail(f"{_shown(text)} is ambiguous; write an IPv6 host in brackets, like [::1]:8080")
    if any(character.isspace() or character in "/@" for character in host):
        variable.fail(f"{_shown(text)} is not host:port; leave out the scheme, path and user")
    return Address(host or "0.0.0.0", int(port_text))  # noqa: S104


_OTLP_HTTP = "http/protobuf"
LOG_LEVEL = Variable("TOLLWAY_LOG_LEVEL", "debug, info, warning or error", "least severe lines that are logged", "info")
OTLP_ENDPOINT = Variable(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "url",
    "an OTLP/HTTP collector, e.g. http://collector:4318; turns tracing on, as OTEL_EXPORTER_OTLP_TRACES_ENDPOINT does. "
    "The other OTEL_* variables are those of the OpenTelemetry SDK",
)
OTLP_TRACES_ENDPOINT = Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "url", "the same, with the full path for traces")
_OTLP_PROTOCOL = Variable("OTEL_EXPORTER_OTLP_PROTOCOL", _OTLP_HTTP, "")
_OTLP_TRACES_PROTOCOL = Variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", _OTLP_HTTP, "")
_OTEL_DISABLED = Variable("OTEL_SDK_DISABLED", "true or false", "", "false")
_OTEL_TRACES_EXPORTER = Variable("OTEL_TRACES_EXPORTER", "otlp or none", "", "otlp")


def log_level(environment: Environment) -> str:
    """The least severe level that a service logs. Raises SettingsError."""
    return environment.choice(LOG_LEVEL, ("debug", "info", "warning", "error"))


def is_tracing(environment: Environment) -> bool:
    """Whether spans are exported, as the OpenTelemetry variables say. Raises SettingsError."""
    schemes = ("http", "https")
    endpoint = environment.optional_url(OTLP_TRACES_ENDPOINT, schemes) or environment.optional_url(
        OTLP_ENDPOINT, schemes
    )
    is_off = environment.boolean(_OTEL_DISABLED) or environment.text(_OTEL_TRACES_EXPORTER) == "none"
    if is_off or endpoint is None:
        return False
    for protocol in (_OTLP_TRACES_PROTOCOL, _OTLP_PROTOCOL):
        spoken = environment.optional_text(protocol)
        if spoken == _OTLP_HTTP:
            break
        if spoken is not None:
            protocol.fail(
                f"{spoken!r} is not spoken; set it to {_OTLP_HTTP} with an endpoint for that, often port 4318"
            )
    return True
