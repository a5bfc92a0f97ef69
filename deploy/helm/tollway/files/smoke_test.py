"""What `helm test` asks a release: are the planes ready, and do they refuse a caller without a credential?"""

# ruff: noqa: S310, S323, T201
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

DEADLINE_S = 90.0
# The question is whether the planes answer; the Service names need not be in the apps' certificate.
CONTEXT = ssl._create_unverified_context()


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5.0, context=CONTEXT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()


def expect(url: str, status: int, give_up: float) -> bytes:
    while True:
        seen, body = fetch(url)
        if seen == status:
            print(f"ok      {url} answers {status}")
            return body
        if time.monotonic() >= give_up:
            sys.exit(f"failed  {url} should answer {status}, last was {seen}: {body[:300]!r}")
        time.sleep(1.0)


def main() -> None:
    give_up = time.monotonic() + DEADLINE_S
    dataplane, controlplane = os.environ.get("DATAPLANE_URL"), os.environ.get("CONTROLPLANE_URL")
    if controlplane:
        expect(f"{controlplane}/readyz", 200, give_up)
        expect(f"{controlplane}/v1/teams", 401, give_up)
    if dataplane:
        expect(f"{dataplane}/readyz", 200, give_up)
        refusal = json.loads(expect(f"{dataplane}/v1/models", 401, give_up))
        if refusal["error"]["code"] != "invalid_api_key":
            sys.exit(f"failed  {dataplane}/v1/models refuses with {refusal['error']['code']}")


main()
