"""Log lines."""

import logging
import re
from collections.abc import Iterator

import pytest

from tollway.logs import LineFormatter, start_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    logger.handlers = []
    yield logger
    logger.handlers = handlers
    logger.setLevel(level)


def test_a_record_is_one_line_with_a_utc_time() -> None:
    record = logging.LogRecord("tollway.admin", logging.WARNING, "f", 1, "refused peer=%s", ("1.2.3.4\nFORGED",), None)
    record.created, record.msecs = 1767225600.5, 500.0
    assert LineFormatter().format(record) == (
        "2026-01-01T00:00:00.500Z WARNING tollway.admin refused peer=1.2.3.4 | FORGED"
    )


def test_a_record_with_a_traceback_is_one_line_too() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        record = logging.LogRecord(
            "part", logging.ERROR, "f.py", 1, "said %s", ("a\r\nb",), (type(error), error, error.__traceback__)
        )

    line = LineFormatter().format(record)

    assert "\n" not in line
    assert "\r" not in line
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ERROR part said a \| b \| Traceback", line)
    assert line.endswith("ValueError: first | second")


def test_libraries_that_show_requests_are_kept_quiet_at_every_level(root: logging.Logger) -> None:
    start_logging("debug")

    assert root.level == logging.DEBUG
    assert logging.getLogger("aiohttp.access").getEffectiveLevel() == logging.WARNING
    assert logging.getLogger("grpc._cython").getEffectiveLevel() == logging.WARNING
    assert logging.getLogger("aiohttp.server").getEffectiveLevel() == logging.CRITICAL
    assert logging.getLogger("dataplane.process").getEffectiveLevel() == logging.DEBUG
