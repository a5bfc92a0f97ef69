from itertools import islice

from dataplane.config.grpc_source import FIRST_RETRY_S, LONGEST_RETRY_S, retry_delays


def test_retries_are_quick_at_first_and_never_far_apart() -> None:
    delays = list(islice(retry_delays(), 30))
    assert FIRST_RETRY_S / 2 <= delays[0] <= FIRST_RETRY_S
    for attempt, delay in enumerate(delays):
        longest = min(FIRST_RETRY_S * 2**attempt, LONGEST_RETRY_S)
        assert longest / 2 <= delay <= longest
    assert len(set(delays[10:])) > 1, "data planes that were cut off together come back apart"
