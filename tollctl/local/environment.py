"""The environment of each process: its own settings, and of the user's only what it may need."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_STACK_SETTINGS = frozenset(
    f"TOLLWAY_{name}"
    for name in (
        *("DATABASE_URL", "NATS_URL", "CONTROLPLANE_ADDRESS", "CONFIG_FILE", "SPOOL_DIR"),
        *("LISTEN", "METRICS_LISTEN", "ADMIN_LISTEN", "GRPC_LISTEN", "ADMIN_URL", "BASE_URL"),
        *("ENCRYPTION_KEY", "KEY_PEPPER", "ADMIN_TOKEN", "PLANE_TOKEN", "DEMO_KEY"),
        *("TLS_CERT", "TLS_KEY", "TLS_CA", "API_TLS_CERT", "API_TLS_KEY", "INSECURE_ADMIN", "INSECURE_PLANE"),
    )
)
_HARMLESS = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TOLLWAY_LOG_LEVEL"})
_HARMLESS_PREFIXES = ("LC_", "OTEL_", "PYTHON", "SSL_CERT_")
_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})


def widen(user: Mapping[str, str], settings: Mapping[str, str], hidden: frozenset[str] = frozenset()) -> dict[str, str]:
    """The user's whole environment, in which `env:` references of manifests are looked up, less `hidden` names.

    Settings that the user has for another deployment do not reach this stack.
    """
    kept = {name: value for name, value in user.items() if name not in _STACK_SETTINGS | hidden}
    return kept | _python_settings(user) | dict(settings)


def narrow(user: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the user's that could be a secret."""
    kept = {name: value for name, value in user.items() if name in _HARMLESS or name.startswith(_HARMLESS_PREFIXES)}
    return kept | _python_settings(user) | dict(settings)


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Runs a module with this interpreter, without the working directory on its path."""
    return (sys.executable, "-P", "-m", module, *arguments)


def _python_settings(user: Mapping[str, str]) -> dict[str, str]:
    """Children find the packages where this process did, in a source tree too."""
    settings = {"PYTHONUNBUFFERED": "1"}
    root = Path(__file__).resolve().parents[2]
    if not _INSTALLED_FOLDERS & set(root.parts):
        settings["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), user.get("PYTHONPATH", "")]))
    return settings
