"""What happens in a copy of this process, which outlives that."""

import os
import signal


def exit_code_of_copy(work):
    """Exit code that some work gives in a copy of this process; negative where a signal ended it."""
    child = os.fork()
    if not child:
        signal.alarm(60)
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def take_a_signal():
    """0 where Python's handler of a signal was called."""
    taken = []
    signal.signal(signal.SIGINT, lambda number, frame: taken.append(number))
    os.kill(os.getpid(), signal.SIGINT)
    return len(taken) - 1
