"""A scheduler that lets threads meet wherever they can."""

import contextlib
import gc
import sys
import time
from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def hostile_scheduler():
    """Threads change places as often as the interpreter allows, and in each of very many garbage collections."""

    def give_way(phase, info):
        time.sleep(0)

    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(7, 1000, 1000)
    gc.callbacks.append(give_way)
    try:
        yield
    finally:
        gc.callbacks.remove(give_way)
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)


def at_once(work, *arguments, times=1):
    """What `work` gives for each argument, `times` times over, each argument in a thread of its own."""

    def repeat(argument):
        return [work(argument) for _ in range(times)]

    with hostile_scheduler(), ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(repeat, arguments))
