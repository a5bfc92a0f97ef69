"""Where usage travels in NATS."""

import re

USAGE_STREAM = "TOLLWAY_USAGE"
USAGE_CONSUMER = "tollway-ledger"
TAP_STREAM = "TOLLWAY_USAGE_TAP"
_USAGE_PREFIX = "tollway.usage.v1"
_TAP_PREFIX = "tollway.tap.v1"
USAGE_SUBJECTS = f"{_USAGE_PREFIX}.>"
TAP_SUBJECTS = f"{_TAP_PREFIX}.>"
_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


def usage_subject(node: str) -> str:
    """Subject on which the data plane process `node` publishes; characters that NATS reserves become "_"."""
    return f"{_USAGE_PREFIX}.{_NOT_A_TOKEN.sub('_', node) or '_'}"


def tap_subject(subject: str) -> str:
    """Subject of the copy of a message that came on `subject`, one of USAGE_SUBJECTS."""
    return _TAP_PREFIX + subject.removeprefix(_USAGE_PREFIX)


def tapped_subject(subject: str) -> str:
    """The inverse of `tap_subject`."""
    return _USAGE_PREFIX + subject.removeprefix(_TAP_PREFIX)
