"""The models that a fleet runs on behave as what they stand for."""

import random

from tests.simulation.database import Database, DatabaseError
from tests.simulation.links import Pipe, Weather
from tests.simulation.process import Process
from tests.simulation.timeline import SECOND_US, Steps, Timeline


def test_equal_times_happen_in_the_order_they_were_planned() -> None:
    timeline, seen = Timeline(), list[int]()
    for number in range(3):
        timeline.after(5, lambda number=number: seen.append(number))  # type: ignore[misc]
    timeline.run(10)
    assert (seen, timeline.now_us) == ([0, 1, 2], 10)


def test_a_stopped_process_catches_up_and_a_dead_one_does_not() -> None:
    timeline, seen = Timeline(), list[str]()
    stopped, dead = Process(timeline, "stopped"), Process(timeline, "dead")
    for process in (stopped, dead):
        process.after(5, lambda process=process: seen.append(process.name))  # type: ignore[misc]
    stopped.stop()
    dead.kill()
    timeline.run(10)
    assert seen == []
    stopped.resume()
    assert seen == ["stopped"]


def test_row_locks_keep_updates() -> None:
    timeline = Timeline()
    database = Database(timeline)
    _increment_twice(timeline, database)
    assert database.table("t") == {"row": 2}


def test_a_circle_of_locks_ends_one_transaction() -> None:
    timeline = Timeline()
    database = Database(timeline)
    errors: list[str] = []

    def take(process: Process, first: str, second: str) -> Steps:
        transaction = database.begin(process)
        try:
            yield from transaction.lock([("t", first)], 10)
            yield from transaction.lock([("t", second)], 10)
            yield from transaction.commit(10)
        except DatabaseError as error:
            errors.append(str(error))

    for first, second in (("a", "b"), ("b", "a")):
        process = Process(timeline, first)
        process.start(take(process, first, second))
    timeline.run(SECOND_US)
    assert (database.deadlocks, len(errors)) == (1, 1)


def test_a_dead_client_releases_its_locks() -> None:
    timeline = Timeline()
    database = Database(timeline)
    first = Process(timeline, "first")
    first.start(_hold(database, first))
    timeline.run(100)
    first.kill()
    _increment_twice(timeline, database)
    assert database.table("t") == {"row": 2}


def test_a_crash_empties_unlogged_tables_and_a_failover_forgets_the_last_commits() -> None:
    timeline = Timeline()
    database = Database(timeline, unlogged=("u",))
    database.apply({("t", "early"): 1, ("u", "rate"): 1})
    timeline.run(5 * SECOND_US)
    database.apply({("t", "late"): 1})
    database.crash()
    database.restart()
    assert (database.table("t"), database.table("u")) == ({"early": 1, "late": 1}, {})
    database.crash(lost_us=SECOND_US)
    database.restart()
    assert database.table("t") == {"early": 1}


def test_transactions_do_not_outlive_a_crash() -> None:
    timeline = Timeline()
    database = Database(timeline)
    process = Process(timeline, "client")
    errors: list[str] = []
    process.start(_increment(database, process, errors))
    timeline.run(15)
    database.crash()
    database.restart()
    timeline.run(SECOND_US)
    assert database.table("t") == {}
    assert errors == ["the connection is lost"]


def test_a_pipe_keeps_order_unless_messages_overtake() -> None:
    timeline, seen = Timeline(), list[int]()
    pipe = Pipe(timeline, random.Random(1), Weather(slowest_us=1_000), Process(timeline, "reader"), seen.append)
    for number in range(50):
        assert pipe.send(number)
    timeline.run(SECOND_US)
    assert seen == list(range(50))
    pipe.close()
    assert not pipe.send(51)


def _increment_twice(timeline: Timeline, database: Database) -> None:
    for name in ("one", "two"):
        process = Process(timeline, name)
        process.start(_increment(database, process, []))
    timeline.run(timeline.now_us + SECOND_US)


def _increment(database: Database, process: Process, errors: list[str]) -> Steps:
    transaction = database.begin(process)
    try:
        yield from transaction.lock([("t", "row")], 10)
        value = transaction.read("t", "row") or 0
        yield process.sleep(10)
        transaction.write("t", "row", value + 1)
        yield from transaction.commit(10)
    except DatabaseError as error:
        errors.append(str(error))


def _hold(database: Database, process: Process) -> Steps:
    transaction = database.begin(process)
    yield from transaction.lock([("t", "row")], 10)
    yield process.sleep(3600 * SECOND_US)
