"""What one invocation works with: where the control plane is, whose token is used, how to print."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tollctl.errors import Unreachable

if TYPE_CHECKING:
    from tollctl.client import AdminClient
    from tollctl.stack import Stack

DEFAULT_DATA_DIR = Path(".tollway")


@dataclass(frozen=True, slots=True)
class Session:
    """The global options and the environment; flags win over the environment, which wins over DATA_DIR/stack.json."""

    server: str | None = None
    token: str | None = field(default=None, repr=False)
    data_dir: Path = DEFAULT_DATA_DIR
    ca_file: Path | None = None
    is_quiet: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def stack(self) -> "Stack | None":
        """The local stack of data_dir, running or not; None where there never was one."""
        from tollctl.stack import read_stack

        return read_stack(self.data_dir)

    def admin(self) -> "AdminClient":
        """A client of the control plane. Raises Unreachable where none is named anywhere."""
        from tollctl.client import AdminClient
        from tollctl.web import check_credential, parse_address

        url, origin = self.admin_url()
        address = parse_address(url, origin)
        token = check_credential(self._admin_token(url), "admin token")
        if token and address.is_open_wire:
            self.tell(f"warning: the admin token goes to {address} in clear text; use https")
        return AdminClient(address, token, self.trusted_ca())

    def admin_url(self) -> tuple[str, str]:
        """The control plane's URL and where it comes from. Raises Unreachable where none is named anywhere."""
        if self.server:
            return self.server, "--server"
        if url := self.environ.get("TOLLWAY_ADMIN_URL"):
            return url, "TOLLWAY_ADMIN_URL"
        stack = self.stack()
        if stack is None or not stack.admin_url:
            raise Unreachable(
                f"no control plane is known: start one with `tollctl up`, or name one with --server or "
                f"TOLLWAY_ADMIN_URL (there is no {self.data_dir / 'stack.json'})"
            )
        return stack.admin_url, str(self.data_dir / "stack.json")

    def trusted_ca(self) -> Path | None:
        """The CA file that servers are checked with; None for the system's own."""
        named = self.environ.get("TOLLWAY_TLS_CA")
        return self.ca_file or (Path(named) if named else None)

    def tell(self, line: str) -> None:
        """A note for people on stderr; nothing when quiet."""
        if not self.is_quiet:
            print(line, file=sys.stderr, flush=True)

    def _admin_token(self, url: str) -> str:
        """The stack's own token is sent to the stack's own address only."""
        given = self.token or self.environ.get("TOLLWAY_ADMIN_TOKEN")
        if given:
            return given
        stack = self.stack()
        return stack.admin_token if stack is not None and stack.admin_url.rstrip("/") == url.rstrip("/") else ""


def session_of(context: typer.Context) -> Session:
    """The session that the root command made."""
    session = context.find_root().obj
    if not isinstance(session, Session):
        raise TypeError("the root command has not made a session")
    return session
