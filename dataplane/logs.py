"""Log lines: one per record, `time level component message key=value`, to stderr."""

import logging
import sys
import time
from typing import Final

_LINE: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
_TIME: Final = "%Y-%m-%dT%H:%M:%S"
_SHOWS_REQUESTS: Final = "aiohttp.server"
"""aiohttp logs requests that it cannot parse with their bytes, credentials included."""


class OneLineFormatter(logging.Formatter):
    """UTC times, and tracebacks on the line of their record."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(super().format(record).splitlines())


def start_logging(level: str) -> None:
    """Log records of `level` (debug, info, warning, error) and above for the rest of the process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter(_LINE, _TIME))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger(_SHOWS_REQUESTS).setLevel(logging.CRITICAL)
