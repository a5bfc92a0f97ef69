"""How every process logs: one line per record, `time level component message key=value`, to stderr."""

import logging
import sys
import time
from typing import Final

_LINE: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
_TIME: Final = "%Y-%m-%dT%H:%M:%S"
# These libraries log addresses and headers of single requests at info and debug.
_TALKATIVE: Final = ("aiohttp", "asyncio", "grpc", "opentelemetry", "sqlalchemy")
# It logs what is not well-formed HTTP with the bytes that it could not read, and those may hold a credential.
_SHOWS_REQUESTS: Final = "aiohttp.server"


class LineFormatter(logging.Formatter):
    """UTC times with milliseconds; a message of several lines and a traceback stay on the line of their record."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(_LINE, _TIME)

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(super().format(record).splitlines())


def start_logging(level: str) -> None:
    """Sends the records of this process that are at least as severe as `level` (debug, info, ...) to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    least = max(logging.WARNING, logging.getLogger().level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(least)
    logging.getLogger(_SHOWS_REQUESTS).setLevel(logging.CRITICAL)
