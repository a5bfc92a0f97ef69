"""Where usage travels in NATS."""

import re

USAGE_STREAM = "TOLLWAY_USAGE"
USAGE_CONSUMER = "tollway-ledger"
_USAGE_PREFIX = "tollway.usage.v1"
USAGE_SUBJECTS = f"{_USAGE_PREFIX}.>"
_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


def usage_subject(node: str) -> str:
    """Subject on which the data plane process `node` publishes; characters that NATS reserves become "_"."""
    return f"{_USAGE_PREFIX}.{_NOT_A_TOKEN.sub('_', node) or '_'}"
