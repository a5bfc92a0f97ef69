"""Since when a stream holds nothing older, against a model of one that is consumed, loses messages and is made anew."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from nats.js.api import StreamConfig, StreamInfo, StreamState

from controlplane.ledger.drain import StreamDrain

START = datetime(2026, 1, 1, tzinfo=UTC)


class Stream:
    """Messages by sequence number, each with the second at which it was accepted."""

    def __init__(self) -> None:
        self.created, self.last, self.messages = 0, 0, dict[int, int]()

    def accept(self, second: int) -> None:
        self.last += 1
        self.messages[self.last] = second

    def make_anew(self) -> None:
        self.created, self.last, self.messages = self.created + 1, 0, {}

    def info(self) -> StreamInfo:
        state = StreamState(
            messages=len(self.messages),
            bytes=0,
            first_seq=min(self.messages, default=self.last + 1),
            last_seq=self.last,
            consumer_count=1,
        )
        info = StreamInfo(config=StreamConfig(), state=state)
        info.created = START + timedelta(days=self.created)
        return info


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


@pytest.mark.parametrize("seed", range(50))
def test_nothing_that_was_accepted_before_the_mark_is_in_the_stream(seed: int) -> None:
    chance, stream, drain, marks = random.Random(seed), Stream(), StreamDrain(), 0
    for second in range(300):
        for _ in range(chance.randint(0, 3)):
            stream.accept(second)
        if chance.random() < 0.02:
            stream.make_anew()
        for number in list(stream.messages):
            if chance.random() < 0.4:
                del stream.messages[number]
        through = drain.look(stream.info(), at(second))
        if through is not None:
            marks += 1
            assert all(at(accepted) >= through for accepted in stream.messages.values())
    assert marks > 10


def test_a_message_that_a_consumer_holds_keeps_the_mark_where_it_is() -> None:
    stream, drain = Stream(), StreamDrain()
    stream.accept(0)
    assert drain.look(stream.info(), at(1)) is None
    for second in range(2, 20):
        stream.accept(second)
        assert drain.look(stream.info(), at(second)) is None
        del stream.messages[stream.last]
    del stream.messages[1]
    assert drain.look(stream.info(), at(20)) == at(20)
