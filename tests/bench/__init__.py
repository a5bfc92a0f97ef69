"""`make bench`: the gateway beside a bare aiohttp proxy, in turns within one run, on the same pinned core."""
