"""Work that blocks, in threads that nobody waits for at the end of the process."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def run_apart(work: Callable[[], T], name: str) -> T:
    """What `work` returns in a thread called `name`, or the Exception that it raises.

    The thread is of no pool: it takes no place of others, and does not hold up the end of the process. When the caller
    is cancelled it goes on alone, and what comes of it is dropped. Raises RuntimeError for what is no Exception, and
    for StopIteration, which no task can be given.
    """
    outcome: Future[T] = Future()
    # What runs already cannot be cancelled, so that the thread may always tell its outcome.
    outcome.set_running_or_notify_cancel()

    def run() -> None:
        try:
            outcome.set_result(work())
        except StopIteration as error:
            outcome.set_exception(RuntimeError(type(error).__name__))
        except Exception as error:  # noqa: BLE001 - told to the caller
            outcome.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - a library may not end the process
            outcome.set_exception(RuntimeError(type(error).__name__))

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(outcome)
