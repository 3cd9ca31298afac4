"""What happens to an item that fails: its error comes at its place, and the other items go on.

python examples/errors.py
"""

import os
import sys
import threading

from numap import IMap, ItemError, SerializationError, WorkerDied


def work(item):
    match item:
        case "raise":
            return 1 / 0
        case "exit":
            sys.exit(3)
        case "die":
            os._exit(3)
        case "lock":
            return item.lower, threading.Lock()
    return item.upper()


ITEMS = ["one", "raise", "two", "exit", "three", "die", "four", "lock", "five"]

# By default an error is raised by the iteration, which can go on afterwards.
results = IMap(work, ITEMS, worker_num=2)
while True:
    try:
        print("   ", next(results))
    except StopIteration:
        break
    except ZeroDivisionError as error:
        # The type is the original one, the cause is the traceback in the worker, a note names the place.
        print("1.", error, error.__notes__ if sys.version_info >= (3, 11) else "")
    except ItemError as error:
        print("2.", type(error.original).__name__, error.original)
    except WorkerDied as error:
        print(f"3. item {error.index} ended its worker with code {error.exitcode}")
    except SerializationError as error:
        print("4.", str(error).partition(";")[0])

# Or it is the result, or there is none.
print([type(result).__name__ for result in IMap(work, ITEMS, worker_num=2, on_error="return")])
print(list(IMap(work, ITEMS, worker_num=2, on_error="skip")))


# An input that raises ends the map, after the results of what it gave before.
def broken():
    yield "one"
    yield "two"
    raise OSError("the disk is gone")


try:
    for result in IMap(work, broken(), worker_num=2):
        print("   ", result)
except Exception as error:
    print("5.", type(error).__name__, "from", repr(error.__cause__))
