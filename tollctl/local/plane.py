"""A Python service of the stack: a module that is ready when an HTTP path answers 200."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tollctl.local.environment import python_command
from tollctl.local.ports import LOOPBACK, claim_port
from tollctl.local.probe import get_status
from tollctl.local.process import Command
from tollctl.local.service import Service, StopSteps

_OK = 200


@dataclass(frozen=True, slots=True)
class PlaneSpec:
    """What to run, and how to tell that it serves.

    module: with its arguments.
    ports: all that it listens on; they must be free before it starts.
    ready_port, ready_path: asked on the loopback interface.
    """

    name: str
    module: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    ports: tuple[int, ...]
    ready_port: int
    ready_path: str
    log: Path
    stop_steps: StopSteps


class Plane(Service):
    """Ends at once when its parent does: what it had not finished is taken up at the next start."""

    def __init__(self, spec: PlaneSpec) -> None:
        super().__init__(spec.name, spec.log, spec.stop_steps)
        self._spec = spec

    async def _prepare(self) -> Command:
        for port in self._spec.ports:
            await claim_port(port, self.name)
        return Command(python_command(*self._spec.module), self._spec.env, Path.cwd(), log=self.log)

    async def _is_ready(self, pid: int) -> bool:
        return await get_status(LOOPBACK, self._spec.ready_port, self._spec.ready_path) == _OK
