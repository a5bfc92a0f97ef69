"""Pure: responses of the config feed into whole updates."""

from dataplane.config.state import ConfigDelta, Cursor
from tollway.config.v1.discovery_pb2 import SubscribeResponse
from tollway.config.v1.resources_pb2 import Resource


class FeedProtocolError(Exception):
    """The control plane sent what the protocol does not allow."""


class FeedBehind(FeedProtocolError):
    """The control plane offers an older state than the one in force, as a replica that lags would."""


class UpdateAssembly:
    """Collects the parts of one stream's updates. `applied` is the cursor in force when the stream opened.

    An older state of the same database is refused, because it could let a revoked key in again, unless
    `accepts_older`.
    """

    def __init__(self, applied: Cursor | None, *, accepts_older: bool = False) -> None:
        self._applied = applied
        self._accepts_older = accepts_older
        self._cursor: Cursor | None = None
        self._reset = False
        self._upserts: dict[str, Resource] = {}
        self._removals: set[str] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no update is under way."""
        return self._cursor is None

    def add(self, response: SubscribeResponse) -> ConfigDelta | None:
        """The update that `response` completes, None when parts are missing. Raises FeedProtocolError."""
        cursor = Cursor(response.cursor.epoch, response.cursor.revision)
        if self._cursor is None:
            self._check_start(cursor, response.reset)
            self._cursor = cursor
        elif cursor != self._cursor:
            raise FeedProtocolError(f"a part of the update to {cursor} came within the one to {self._cursor}")
        self._reset = self._reset or response.reset
        for name in response.removals:
            self._removals.add(name)
            self._upserts.pop(name, None)
        for form in response.upserts:
            self._upserts[form.name] = form
            self._removals.discard(form.name)
        return self._complete(cursor) if response.last_part else None

    def _check_start(self, cursor: Cursor, reset: bool) -> None:
        applied = self._applied
        if not reset and (applied is None or cursor.epoch != applied.epoch):
            raise FeedProtocolError(f"changes up to {cursor} came without the state that they change")
        if applied is None or cursor.epoch != applied.epoch or cursor.revision >= applied.revision:
            return
        if not (reset and self._accepts_older):
            raise FeedBehind(f"the state at revision {cursor.revision} is older than {applied.revision}, in force here")

    def _complete(self, cursor: Cursor) -> ConfigDelta:
        delta = ConfigDelta(cursor, self._upserts, frozenset(self._removals), self._reset)
        self._applied = cursor
        self._cursor = None
        self._reset = False
        self._upserts = {}
        self._removals = set()
        return delta
