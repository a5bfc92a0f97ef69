"""How the processes of this plane log: one line per record, `time level component message key=value`, to stderr."""

import logging
import sys
from datetime import UTC, datetime


class LineFormatter(logging.Formatter):
    """Times are UTC with milliseconds; line breaks of a message are escaped, so that a record cannot forge another."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


def start_logging(level: str) -> None:
    """Sends the records of this process that are at least as severe as `level` to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # These libraries log addresses and headers of single requests at info and debug.
    for name in ("aiohttp", "asyncio", "grpc", "sqlalchemy", "opentelemetry"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    # It logs what is not well-formed HTTP with the lines that it could not read, and those may hold a token.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
