"""What keeps the consumer from being ready, by subject."""

import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)


class ConsumerReadiness:
    """Not ready while any subject has a problem; `publish` is told all of them in one line, "" when there are none."""

    def __init__(self, publish: Callable[[str], None], *subjects: str) -> None:
        self._publish = publish
        self._problems = dict.fromkeys(subjects, "starting")

    def report(self, subject: str, reason: str) -> None:
        if self._problems.get(subject) == reason:
            return
        _log.warning("not ready subject=%s reason=%s", subject, reason)
        self._problems[subject] = reason
        self._tell()

    def clear(self, subject: str) -> None:
        if self._problems.pop(subject, None) is not None:
            _log.info("ready subject=%s", subject)
            self._tell()

    def _tell(self) -> None:
        self._publish("; ".join(f"{subject}: {reason}" for subject, reason in self._problems.items()))
