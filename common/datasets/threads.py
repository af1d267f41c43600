"""Computing ahead in threads; the results are used in order."""

import collections
import concurrent.futures
from collections.abc import Callable, Generator, Iterable
from typing import Any


def ahead(
    function: Callable[[Any], Any], arguments: Iterable, depth: int = 4, workers: int = 2
) -> Generator[Any, None, None]:
    """Yield function(a) for each argument, in order, computed up to `depth` ahead in threads."""
    with concurrent.futures.ThreadPoolExecutor(workers, "ahead") as pool:
        waiting: collections.deque = collections.deque()
        try:
            for argument in arguments:
                waiting.append(pool.submit(function, argument))
                if len(waiting) >= depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
