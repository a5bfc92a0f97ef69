"""When the spool fills up, somebody is told before calls are refused."""

import logging
from typing import Final

ALARM_RATIO: Final = 0.8
CALM_RATIO: Final = 0.5

logger = logging.getLogger(__name__)


class FillAlarm:
    """Says once that the spool is nearly full, and once that it is not any more."""

    def __init__(self) -> None:
        self.is_on = False

    def look(self, fill_ratio: float) -> None:
        """`fill_ratio` is 1 where new calls are refused."""
        if not self.is_on and fill_ratio >= ALARM_RATIO:
            self.is_on = True
            text = "the spool is %d%% full, new calls are refused at 100%%: are NATS and the consumer running?"
            logger.error(text, int(fill_ratio * 100))
        elif self.is_on and fill_ratio < CALM_RATIO:
            self.is_on = False
            logger.info("the spool is %d%% full", int(fill_ratio * 100))
