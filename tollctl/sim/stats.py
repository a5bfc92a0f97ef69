"""What was served: the truth that a ledger is compared with."""

from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class Tally:
    """Calls, and the words of those that were served."""

    requests: int = 0
    completed: int = 0
    aborted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True)
class Stats:
    """Tallies over all calls and per value of the body's `user` field.

    A call that got an error counts in requests only.
    """

    total: Tally = field(default_factory=Tally)
    by_user: dict[str, Tally] = field(default_factory=dict)

    def count_request(self) -> None:
        self.total.requests += 1

    def count_user(self, user: str) -> None:
        """Book a counted request to its user too, once the body has told who that is."""
        self._of_user(user).requests += 1

    def count_completed(self, user: str, input_tokens: int, output_tokens: int) -> None:
        for tally in self._tallies(user):
            tally.completed += 1
            tally.input_tokens += input_tokens
            tally.output_tokens += output_tokens

    def count_aborted(self, user: str, input_tokens: int, output_tokens: int) -> None:
        """A call whose answer broke off; output_tokens are the words that had been written."""
        for tally in self._tallies(user):
            tally.aborted += 1
            tally.input_tokens += input_tokens
            tally.output_tokens += output_tokens

    def render(self) -> dict[str, object]:
        """The body of GET /stats."""
        return {**asdict(self.total), "by_user": {user: asdict(tally) for user, tally in self.by_user.items()}}

    def _tallies(self, user: str) -> tuple[Tally, ...]:
        return (self.total, self._of_user(user)) if user else (self.total,)

    def _of_user(self, user: str) -> Tally:
        return self.by_user.setdefault(user, Tally()) if user else Tally()
