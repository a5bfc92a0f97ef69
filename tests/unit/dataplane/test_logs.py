import logging
import re

from dataplane.logs import OneLineFormatter

LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"


def test_a_record_is_one_line_with_a_utc_time_whatever_it_holds() -> None:
    formatter = OneLineFormatter(LINE, "%Y-%m-%dT%H:%M:%S")
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        record = logging.LogRecord(
            "part", logging.ERROR, "f.py", 1, "said %s", ("a\r\nb",), (type(error), error, error.__traceback__)
        )

    line = formatter.format(record)

    assert "\n" not in line
    assert "\r" not in line
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ERROR part said a \| b \| Traceback", line)
    assert line.endswith("ValueError: first | second")
