"""What values of an upstream's region, options and secret look like, where a provider takes no others."""

import json
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """What the whole of a value must match, and the same in words: a clause that follows "must be".

    Where the value begins as JSON does, it must be an object that has the texts `members`.
    """

    pattern: re.Pattern[str]
    words: str
    members: tuple[str, ...] = ()

    def problem(self, value: str) -> str | None:
        """What is wrong with `value`, which is not repeated, or None."""
        return None if self.pattern.fullmatch(value) and self._has_members(value) else f"must be {self.words}"

    def _has_members(self, value: str) -> bool:
        if not self.members or not value.lstrip().startswith("{"):
            return True
        try:
            said = json.loads(value)
        except (ValueError, RecursionError):
            return False
        return all(isinstance(said.get(member), str) and said[member] for member in self.members)


def choice(*words: str) -> Form:
    """Exactly one of `words`."""
    return Form(re.compile("|".join(re.escape(word) for word in words)), " or ".join(f'"{word}"' for word in words))


BEARER = Form(
    re.compile(r"\s*[!-~]([ -~]*[!-~])?\s*"), "printable ASCII without line breaks, for it stands in a header"
)
HOST_LABEL = Form(
    re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"),
    "letters, digits and inner hyphens, at most 63, for it stands in a host name",
)

AZURE_API_VERSION = Form(
    re.compile(r"20\d\d-[01]\d-[0-3]\d(-preview)?"),
    'a date such as "2024-10-21" or "2025-04-01-preview"; leave it out for the v1 API, which has no versions',
)
ENTRA_SCOPE = Form(re.compile(r"[!-~]{1,240}/\.default"), 'an audience that ends with "/.default"')
ENTRA_TENANT = Form(
    re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,126}[A-Za-z0-9])?"), "the id of a tenant, or one of its domains"
)
GUID = Form(
    re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
    'an id such as "00000000-0000-0000-0000-000000000000"',
)

GOOGLE_LOCATION = Form(
    re.compile(r"[a-z]{2,20}(-[a-z0-9]{1,20}){0,2}"), 'a location such as "europe-west4", or "global"'
)
GOOGLE_PROJECT = Form(
    re.compile(r"([a-z0-9][a-z0-9.-]{0,62}:)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
    'the id or the number of a project, such as "my-project-42"',
)
GOOGLE_SECRET = Form(
    re.compile(r"\s*\{.*\}\s*", re.DOTALL),
    "the JSON of a service account or of another Google credential, with its type",
    ("type",),
)

ABSOLUTE_PATH = Form(re.compile(r"/[^\x00-\x1f\x7f]{1,1023}"), "an absolute path where the data plane runs")
AWS_EXTERNAL_ID = Form(
    re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}"), "2 to 1224 letters, digits and characters of _+=,.@:/-"
)
AWS_PROFILE = Form(re.compile(r"[!-~]([ -~]{0,126}[!-~])?"), "the name of a profile, at most 128 characters")
AWS_REGION = Form(re.compile(r"[a-z]{2,10}(-[a-z0-9]{1,15}){2,3}"), 'a region such as "eu-central-1"')
AWS_ROLE = Form(
    re.compile(r"arn:aws[a-z-]{0,20}:iam::\d{12}:role/[A-Za-z0-9_+=,.@/-]{1,575}"),
    'the ARN of a role, such as "arn:aws:iam::123456789012:role/tollway"',
)
AWS_SESSION_NAME = Form(re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}"), "2 to 64 letters, digits and characters of _+=,.@-")

_AWS_KEYS = r"[^\s:{]+:[^\s:]+(:\S+)?|\{.*\}"
_BEDROCK_KEY = r"(ABSK|bedrock-api-key-)\S*"
AWS_KEYS = Form(
    re.compile(rf"\s*({_AWS_KEYS})\s*", re.DOTALL),
    "ACCESS_KEY_ID:SECRET_ACCESS_KEY, with :SESSION_TOKEN or without, or JSON with access_key_id, secret_access_key "
    "and session_token",
    ("access_key_id", "secret_access_key"),
)
BEDROCK_KEY = Form(re.compile(rf"\s*{_BEDROCK_KEY}\s*"), "a key of Bedrock itself")
AWS_SECRET = Form(
    re.compile(rf"\s*({_BEDROCK_KEY}|{_AWS_KEYS})\s*", re.DOTALL),
    f"{AWS_KEYS.words}, or {BEDROCK_KEY.words}",
    AWS_KEYS.members,
)
