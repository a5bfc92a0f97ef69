"""A model of Postgres: tables of rows, row locks, READ COMMITTED transactions, and what a crash does to them."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.process import Process
from tests.simulation.timeline import SECOND_US, Action, Resume, Steps, Timeline, Wait

LOCK_TIMEOUT_US = 2 * SECOND_US
_JOURNAL_US = 10 * SECOND_US

Row = Any
Place = tuple[str, Hashable]


class DatabaseError(Exception):
    """The transaction is rolled back: a deadlock, a lock that was not to be had in time, or a lost connection."""


class Deadlock(DatabaseError):
    """Transactions waited for one another; one of them was ended."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row before and after a commit; None where there was or is none."""

    table: str
    key: Hashable
    before: Row
    after: Row


@dataclass(slots=True)
class _Lock:
    owner: "Transaction | None" = None
    waiters: deque[tuple["Transaction", Resume]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True, eq=False)
class _Pending:
    place: Place
    resume: Resume


Watcher = Callable[[list[Change]], None]


class Database:
    """Rows are values that are never changed in place. `unlogged` tables are empty after a crash.

    `disorders` are waits for a row of a transaction that holds a later one of the same table: each could be a deadlock.
    """

    def __init__(self, timeline: Timeline, unlogged: Iterable[str] = (), locks_rows: bool = True) -> None:
        self.is_up = True
        self.deadlocks = 0
        self.disorders = 0
        self._timeline = timeline
        self._unlogged = frozenset(unlogged)
        self._locks_rows = locks_rows
        self._tables: dict[str, dict[Hashable, Row]] = {}
        self._locks: dict[Place, _Lock] = {}
        self._open: dict[Transaction, None] = {}
        self._journal: deque[tuple[int, list[Change]]] = deque()
        self._watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        """`watcher` is told of each commit, and of what a crash or a failover took back."""
        self._watchers.append(watcher)

    def table(self, name: str) -> dict[Hashable, Row]:
        """What is committed; not to be changed."""
        return self._tables.setdefault(name, {})

    def begin(self, process: Process) -> "Transaction":
        """Raises DatabaseError while the database is down."""
        if not self.is_up:
            raise DatabaseError("the database is down")
        transaction = Transaction(self, process)
        self._open[transaction] = None
        process.at_death(transaction, transaction.abandon)
        return transaction

    def crash(self, lost_us: int = 0) -> None:
        """Ends all transactions. With `lost_us` a standby takes over that lacks the commits of that last while."""
        self.is_up = False
        for transaction in list(self._open):
            transaction.fail(DatabaseError("the connection is lost"))
        undone: list[Change] = []
        while self._journal and self._journal[-1][0] > self._timeline.now_us - lost_us:
            _, changes = self._journal.pop()
            undone += [Change(change.table, change.key, change.after, change.before) for change in reversed(changes)]
        for name in self._unlogged:
            undone += [Change(name, key, row, None) for key, row in self.table(name).items()]
        self._write(undone)

    def restart(self) -> None:
        self.is_up = True

    def apply(self, writes: dict[Place, Row]) -> None:
        changes = [
            Change(table, key, self.table(table).get(key), row)
            for (table, key), row in writes.items()
            if self.table(table).get(key) != row
        ]
        self._journal.append((self._timeline.now_us, changes))
        while self._journal[0][0] < self._timeline.now_us - _JOURNAL_US:
            self._journal.popleft()
        self._write(changes)

    def plan(self, delay_us: int, action: Action) -> None:
        """What the server does by itself, whatever becomes of the client."""
        self._timeline.after(delay_us, action)

    def close(self, transaction: "Transaction", held: Iterable[Place]) -> None:
        self._open.pop(transaction, None)
        for place in held:
            self._release(place, transaction)

    def try_acquire(self, place: Place, transaction: "Transaction") -> bool:
        if not self._locks_rows:
            return True
        lock = self._locks.setdefault(place, _Lock())
        if lock.owner is None:
            lock.owner = transaction
        return lock.owner is transaction

    def queue(self, place: Place, transaction: "Transaction", resume: Resume) -> None:
        """`resume` is called when the lock that somebody holds is the transaction's."""
        lock = self._locks[place]
        lock.waiters.append((transaction, resume))
        transaction.waits_for = lock.owner
        self.disorders += transaction.holds_beyond(place)
        if self._is_circle(transaction):
            self.deadlocks += 1
            transaction.fail(Deadlock(f"deadlock at {place}"))

    def forget_waiter(self, place: Place, transaction: "Transaction") -> None:
        lock = self._locks.get(place)
        if lock is not None:
            lock.waiters = deque(entry for entry in lock.waiters if entry[0] is not transaction)

    def _is_circle(self, start: "Transaction") -> bool:
        step = start.waits_for
        while step is not None and step is not start:
            step = step.waits_for
        return step is start

    def _release(self, place: Place, transaction: "Transaction") -> None:
        lock = self._locks.get(place)
        if lock is None or lock.owner is not transaction:
            return
        if not lock.waiters:
            del self._locks[place]
            return
        lock.owner, resume = lock.waiters.popleft()
        lock.owner.waits_for = None
        for other, _ in lock.waiters:
            other.waits_for = lock.owner
        resume(None)

    def _write(self, changes: list[Change]) -> None:
        for change in changes:
            if change.after is None:
                self.table(change.table).pop(change.key, None)
            else:
                self.table(change.table)[change.key] = change.after
        for watcher in self._watchers:
            watcher(changes)


class Transaction:
    """What one connection does between BEGIN and COMMIT. It sees its own writes, and what is committed."""

    def __init__(self, database: Database, process: Process) -> None:
        self.waits_for: Transaction | None = None
        self._database = database
        self._process = process
        self._held: list[Place] = []
        self._writes: dict[Place, Row] = {}
        self._pending: _Pending | None = None
        self._error: DatabaseError | None = None
        self._is_over = False
        self._is_committing = False

    def lock(self, places: Iterable[Place], round_trip_us: int) -> Steps:
        """Steps that lock rows one by one in the order given. Raise DatabaseError."""
        yield self._process.sleep(round_trip_us)
        for place in places:
            self._check()
            if self._database.try_acquire(place, self):
                self._held.append(place)
            else:
                yield self._wait_for(place)

    def holds_beyond(self, place: Place) -> bool:
        """Whether it has locked a row of the same table that comes after `place`."""
        table, key = place
        return any(held_table == table and held_key > key for held_table, held_key in self._held)  # type: ignore[operator]

    def read(self, table: str, key: Hashable) -> Row:
        """Raises DatabaseError when the transaction was ended meanwhile."""
        self._check()
        place = (table, key)
        return self._writes[place] if place in self._writes else self._database.table(table).get(key)

    def write(self, table: str, key: Hashable, row: Row) -> None:
        """None deletes. Raises DatabaseError when the transaction was ended meanwhile."""
        self._check()
        self._writes[table, key] = row

    def commit(self, latency_us: int) -> Steps:
        """Steps to the answer. Raise DatabaseError: then it may be committed or not."""
        self._check()
        self._is_committing = True
        self._database.plan(latency_us // 2, self._commit)
        yield self._process.sleep(latency_us)
        self._check()

    def roll_back(self) -> None:
        self._end()

    def abandon(self) -> None:
        """The client is gone; a COMMIT that is on its way still arrives."""
        if not self._is_committing:
            self._end()

    def fail(self, error: DatabaseError) -> None:
        if self._is_over:
            return
        self._error = error
        pending = self._pending
        self._end()
        if pending is not None:
            pending.resume(error)

    def _wait_for(self, place: Place) -> Wait:
        def wait(resume: Resume) -> None:
            pending = self._pending = _Pending(place, resume)
            self._database.plan(LOCK_TIMEOUT_US, lambda: self._give_up(pending))
            self._database.queue(place, self, lambda error: self._got(pending, error))

        return wait

    def _got(self, pending: _Pending, error: Exception | None) -> None:
        self._pending = None
        self._held.append(pending.place)
        pending.resume(error)

    def _give_up(self, pending: _Pending) -> None:
        if self._pending is pending:
            self.fail(DatabaseError(f"no lock on {pending.place} in time"))

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _commit(self) -> None:
        if not self._is_over:
            self._database.apply(self._writes)
            self._end()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.waits_for = None
        self._process.forget(self)
        pending, self._pending = self._pending, None
        if pending is not None:
            self._database.forget_waiter(pending.place, self)
        self._database.close(self, self._held)
