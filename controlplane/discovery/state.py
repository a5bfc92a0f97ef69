"""What all data planes should run, and what separates a cursor from it; pure."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from controlplane.discovery.projection import Projected
from tollway.config.v1.discovery_pb2 import Cursor
from tollway.config.v1.resources_pb2 import Resource

REMEMBERED_REVISIONS = 1024


@dataclass(frozen=True, slots=True)
class Update:
    """All that leads to `cursor`: from nothing when `reset`, else from the cursor that was asked for."""

    cursor: Cursor
    reset: bool
    upserts: Sequence[Resource] = field(repr=False)
    removals: Sequence[str] = ()


class ConfigState:
    """The machine resources of one epoch at one revision, and when those that are gone went.

    What changed in the last `remembered` revisions is found without looking at everything.
    """

    def __init__(
        self, epoch: str, revision: int, projected: Iterable[Projected], *, remembered: int = REMEMBERED_REVISIONS
    ) -> None:
        self.epoch = epoch
        self.revision = revision
        self._resources: dict[str, Resource] = {}
        self._removed: dict[str, int] = {}
        self._recent: deque[tuple[int, frozenset[str]]] = deque(maxlen=remembered)
        self._take(projected)
        # Changes after this revision are all in `_recent`.
        self._recent_since = revision

    def __len__(self) -> int:
        return len(self._resources)

    @property
    def cursor(self) -> Cursor:
        return Cursor(epoch=self.epoch, revision=self.revision)

    def resource(self, name: str) -> Resource | None:
        """The machine resource of that name."""
        return self._resources.get(name)

    def advance(self, revision: int, projected: Iterable[Projected]) -> None:
        """Takes the changes up to `revision`, which is above the present one."""
        names = self._take(projected)
        if len(self._recent) == self._recent.maxlen:
            self._recent_since = self._recent[0][0]
        self._recent.append((revision, names))
        self.revision = revision

    def update_since(self, cursor: Cursor | None) -> Update:
        """What to send to a data plane that is at `cursor`."""
        known = cursor is not None and cursor.epoch == self.epoch and 0 <= cursor.revision <= self.revision
        if cursor is None or not known:
            return Update(self.cursor, True, list(self._resources.values()))
        upserts, removals = [], []
        for name in self._names_since(cursor.revision):
            resource = self._resources.get(name)
            if resource is None:
                removals.append(name)
            elif resource.revision > cursor.revision:
                upserts.append(resource)
        return Update(self.cursor, False, upserts, removals)

    def _names_since(self, revision: int) -> Iterable[str]:
        if revision >= self._recent_since:
            names = (name for at, names in self._recent if at > revision for name in sorted(names))
            return dict.fromkeys(names)
        changed = [name for name, resource in self._resources.items() if resource.revision > revision]
        return changed + [name for name, removed in self._removed.items() if removed > revision]

    def _take(self, projected: Iterable[Projected]) -> frozenset[str]:
        names: set[str] = set()
        for change in projected:
            for resource in change.upserts:
                self._resources[resource.name] = resource
                self._removed.pop(resource.name, None)
                names.add(resource.name)
            for name in change.removals:
                self._resources.pop(name, None)
                self._removed[name] = change.revision
                names.add(name)
        return frozenset(names)
