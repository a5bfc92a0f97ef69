"""What an app sees of limits through the official openai package, run as a process of its own as sdk_checks is.

Usage: python -m tests.e2e.limit_checks BASE_URL BUDGET_KEY RATE_KEY. Of the first key's team a budget is worth few
calls; the second one's may make one call in two seconds. Exits 0 and prints the version when all holds.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

import openai

MESSAGES: Any = [{"role": "user", "content": "alpha beta gamma"}]
MOST_CALLS = 200
USED_UP_WITHIN_S = 30.0


class Line:
    """Counts what goes out on the wire, tries of the package itself included, and keeps the last answer's headers.

    `finals` are answers that are not to be tried again.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.headers: Mapping[str, str] = {}
        self.finals = 0
        self.http = openai.DefaultHttpxClient(event_hooks={"request": [self._count], "response": [self._keep]})

    def client(self, base_url: str, key: str, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=base_url, api_key=key, http_client=self.http, **options)

    def _count(self, request: Any) -> None:
        self.requests += 1

    def _keep(self, response: Any) -> None:
        self.headers = response.headers
        self.finals += response.headers.get("x-should-retry") == "false"


def ask(client: openai.OpenAI) -> None:
    client.chat.completions.create(model="sim/echo", messages=MESSAGES, max_tokens=3)


def check_budget(line: Line, base_url: str, key: str) -> None:
    """Calls are served until a 402 that says it is final, which is not tried again, and names the budget."""
    client = line.client(base_url, key)
    for number in range(MOST_CALLS):
        try:
            ask(client)
        except openai.APIStatusError as error:
            if line.headers.get("x-should-retry") == "true":
                continue
            assert number > 0, "not one call was served"
            assert line.finals == 1, "the package tried again"
            assert (error.status_code, error.code) == (402, "budget_exceeded"), error
            assert line.headers["x-should-retry"] == "false"
            assert 'budget "' in str(error), error
            return
    raise AssertionError("the budget was never used up")


def check_rate(line: Line, base_url: str, key: str) -> None:
    """A 429 is the package's RateLimitError, says when to come again, and coming again then is enough."""
    impatient = line.client(base_url, key, max_retries=0)
    error = spend_rate(impatient)
    assert error.code == "rate_limit_exceeded"
    assert 'rate limit "' in str(error), error
    assert 0 < int(line.headers["retry-after-ms"]) <= 2_000, line.headers
    assert 1 <= int(line.headers["retry-after"]) <= 2
    assert line.headers["x-ratelimit-limit-requests"] == "1"
    assert line.headers["x-ratelimit-remaining-requests"] == "0"
    before, began_s = line.requests, time.monotonic()
    ask(line.client(base_url, key))
    assert line.requests <= before + 2, "the package tried more than once again"
    assert time.monotonic() - began_s < USED_UP_WITHIN_S
    assert line.headers["x-ratelimit-limit-requests"] == "1"
    assert line.headers["x-ratelimit-reset-requests"]


def spend_rate(client: openai.OpenAI) -> openai.RateLimitError:
    try:
        ask(client)
        ask(client)
    except openai.RateLimitError as error:
        return error
    raise AssertionError("two calls at once were let through")


def check_too_small(line: Line, base_url: str, key: str) -> None:
    """What can never be let through is a 400, which nobody tries again."""
    before = line.requests
    try:
        line.client(base_url, key).chat.completions.create(model="sim/echo", messages=MESSAGES, max_tokens=10_000_000)
    except openai.BadRequestError as error:
        assert error.code == "limit_too_small", error
        assert line.requests == before + 1
        return
    raise AssertionError("a call that is larger than the whole budget was let through")


def main(base_url: str, budget_key: str, rate_key: str) -> None:
    check_too_small(Line(), base_url, budget_key)
    check_budget(Line(), base_url, budget_key)
    check_rate(Line(), base_url, rate_key)
    print(openai.__version__)


if __name__ == "__main__":
    main(*sys.argv[1:])
