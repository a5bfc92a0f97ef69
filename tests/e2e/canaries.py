"""Secrets that must be found nowhere, the search for them, and the places where a stack could have left them."""

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg

from tests.e2e.stack import Stack
from tollway.kernel.keys import make_virtual_key

MINIMUM_LENGTH = 12


@dataclass(slots=True)
class Canaries:
    """Secrets by what they are; `forms` are the texts by which each would be recognised."""

    values: dict[str, str] = field(default_factory=dict)

    def make(self, name: str) -> str:
        """A new secret as a provider would give it out."""
        return self.add(name, f"sk-{name}-{secrets.token_hex(16)}")

    def make_key(self, name: str) -> str:
        """A new virtual key that the gateway has not made."""
        return self.add(name, make_virtual_key(secrets.randbelow))

    def add(self, name: str, value: str) -> str:
        assert len(value) >= MINIMUM_LENGTH
        self.values[name] = value
        return value

    def add_stack(self, stack: Stack) -> None:
        """The stack's own secrets: tokens, keys, and the passwords of its stores."""
        for name, value in json.loads((stack.data_dir / "secrets.json").read_text()).items():
            self.add(name, value)
        for name in ("database_url", "nats_url"):
            self.add(f"password of {name}", urlsplit(stack.info[name]).password or "")

    def found_in(self, content: bytes) -> list[str]:
        """Names of the secrets that `content` holds, as they are or encoded."""
        return [name for name, value in self.values.items() if any(form in content for form in _forms(value))]


def _forms(value: str) -> Iterator[bytes]:
    """The secret, its random part alone, and what base64, hexadecimal and percent-encoding make of it."""
    plain = value.encode()
    yield plain
    yield plain[4:]
    yield base64.b64encode(plain).rstrip(b"=")[:-1]
    yield plain.hex().encode()
    yield quote(value, safe="").encode()


def files_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every regular file with its content; one that goes away meanwhile is left out."""
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes()
        except FileNotFoundError:
            continue


async def dump_database(url: str) -> dict[str, bytes]:
    """Every row of every table as text, by the table's name."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        )
        dump = {}
        for table in tables:
            rows = await connection.fetch(f"SELECT t::text AS line FROM {table['name']} t")
            dump[table["name"]] = "\n".join(row["line"] for row in rows).encode()
        return dump
    finally:
        await connection.close()


def processes_of(pids: list[int]) -> Iterator[Path]:
    """The /proc folders of processes and of all that they have started."""
    for pid in pids:
        folder = Path(f"/proc/{pid}")
        yield folder
        children = [int(child) for task in folder.glob("task/*/children") for child in task.read_text().split()]
        yield from processes_of(children)
