"""DATA_DIR/stack.json: what a local stack says about itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tollctl.errors import CommandError

STACK_FILE = "stack.json"


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses and the credentials of a local stack; an address that is not there is ""."""

    openai_base_url: str
    admin_url: str
    grpc_address: str
    sim_url: str
    metrics_urls: Mapping[str, str]
    pids: Mapping[str, int | None]
    database_url: str = field(repr=False)
    nats_url: str = field(repr=False)
    admin_token: str = field(repr=False)
    demo_key: str = field(repr=False)


def read_stack(data_dir: Path) -> Stack | None:
    """The stack of data_dir; None where none was started. Raises CommandError where the file is unreadable."""
    path = data_dir / STACK_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CommandError(
            f"cannot read {path}: {error.strerror}; run tollctl as the user who runs the stack"
        ) from None
    except ValueError:
        raise CommandError(f"{path} is not JSON: start the stack again with `tollctl up`") from None
    if not isinstance(content, dict):
        raise CommandError(f"{path} is not a JSON object: start the stack again with `tollctl up`")
    return _parse_stack(content)


def _parse_stack(content: dict[str, Any]) -> Stack:
    def text(name: str) -> str:
        value = content.get(name)
        return value if isinstance(value, str) else ""

    def mapping(name: str) -> dict[str, Any]:
        value = content.get(name)
        return value if isinstance(value, dict) else {}

    return Stack(
        openai_base_url=text("openai_base_url"),
        admin_url=text("admin_url"),
        grpc_address=text("grpc_address"),
        sim_url=text("sim_url"),
        metrics_urls={name: url for name, url in mapping("metrics_urls").items() if isinstance(url, str)},
        pids={name: pid if isinstance(pid, int) else None for name, pid in mapping("pids").items()},
        database_url=text("database_url"),
        nats_url=text("nats_url"),
        admin_token=text("admin_token"),
        demo_key=text("demo_key"),
    )
