"""References to secrets: `env:NAME` and `file:/absolute/path`, and reading what they refer to."""

import re
from collections.abc import Mapping
from pathlib import Path

_ENV = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}")
_FILE = re.compile(r"file:/[^\x00-\x1f\x7f]{1,1023}")
_OWN_VARIABLES = "env:TOLLWAY_"
_MAX_SECRET_BYTES = 65_536


class SecretUnavailable(Exception):
    """The secret cannot be read; the message names the variable or the path, never a value."""


def secret_ref_problem(ref: str) -> str | None:
    """What is wrong with the form of `ref`, or None."""
    if _ENV.fullmatch(ref) or _FILE.fullmatch(ref):
        return None
    return "must be `env:NAME` (an environment variable) or `file:/absolute/path`"


def is_own_variable(ref: str) -> bool:
    """Whether `ref` names one of Tollway's own settings, which must never reach anybody else."""
    return ref.startswith(_OWN_VARIABLES)


def read_secret(ref: str, environ: Mapping[str, str]) -> str:
    """The secret that `ref` refers to, without surrounding whitespace.

    Raises SecretUnavailable when it is absent, empty, unreadable or longer than 64 KiB.
    """
    problem = secret_ref_problem(ref)
    if problem is not None:
        raise SecretUnavailable(f"secret reference {problem}")
    scheme, _, location = ref.partition(":")
    text = environ.get(location, "") if scheme == "env" else _read_file(location)
    secret = text.strip()
    if secret:
        return secret
    where = f"environment variable {location}" if scheme == "env" else f"file {location}"
    raise SecretUnavailable(f"{where} is not set" if scheme == "env" else f"{where} is empty")


def _read_file(path: str) -> str:
    if Path(path).exists() and not Path(path).is_file():
        # A pipe or a device could keep the reader waiting for ever.
        raise SecretUnavailable(f"file {path} cannot be read: it is not a regular file")
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretUnavailable(f"file {path} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_SECRET_BYTES:
        raise SecretUnavailable(f"file {path} is longer than {_MAX_SECRET_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretUnavailable(f"file {path} is not UTF-8 text") from None
