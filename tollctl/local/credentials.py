"""The secrets of a stack: made once, kept in the data directory."""

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tollctl.local.errors import LocalError
from tollctl.local.files import read_or_create_private
from tollway.kernel.keys import make_virtual_key

_FILE = "secrets.json"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Nothing of it is shown by repr."""

    encryption_key: str = field(repr=False)
    key_pepper: str = field(repr=False)
    plane_token: str = field(repr=False)
    admin_token: str = field(repr=False)
    demo_key: str = field(repr=False)


def load_credentials(data_dir: Path) -> Credentials:
    """What DATA_DIR/secrets.json (0600) holds, made at the first start. Raises LocalError for a damaged file."""
    path = data_dir / _FILE
    try:
        kept = json.loads(read_or_create_private(path, json.dumps(asdict(_make_credentials()), indent=2) + "\n"))
        return Credentials(**kept)
    except (ValueError, TypeError):
        raise LocalError(f"{path} is damaged: restore it, or choose another --data-dir") from None


def _make_credentials() -> Credentials:
    return Credentials(
        encryption_key=secrets.token_hex(32),
        key_pepper=secrets.token_hex(32),
        plane_token=secrets.token_hex(32),
        admin_token=f"twa_{secrets.token_hex(24)}",
        demo_key=make_virtual_key(secrets.randbelow),
    )
