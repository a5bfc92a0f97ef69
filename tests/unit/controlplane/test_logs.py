"""Log lines."""

import logging

from controlplane.logs import LineFormatter


def test_a_record_is_one_line_with_a_utc_time() -> None:
    record = logging.LogRecord("tollway.admin", logging.WARNING, "f", 1, "refused peer=%s", ("1.2.3.4\nFORGED",), None)
    record.created = 1767225600.5
    assert LineFormatter().format(record) == (
        "2026-01-01T00:00:00.500Z WARNING tollway.admin refused peer=1.2.3.4\\nFORGED"
    )
