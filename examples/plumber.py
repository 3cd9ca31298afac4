"""A Plumber: a pipeline that runs in the background, can be held, and is saved as Python source.

python examples/plumber.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from numap import IMap
from papy import Piper, Plumber, PlumberError, Worker
from papy.util.func import dump_stream


def square(inbox):
    return inbox[0] ** 2


def text(inbox, unit):
    return f"{inbox[0]} {unit}"


with TemporaryDirectory() as directory:
    results, source = Path(directory, "results"), Path(directory, "pipeline.py")

    # What comes out is not read, so the last piper stores it. track=True keeps the results of a piper.
    plumber = Plumber()
    plumber.add_pipe(
        (
            Piper(square, IMap(worker_num=2), track=True, name="squares"),
            Piper(Worker(text, ("cm2",))),
            Piper(Worker(dump_stream, (str(results),))),
        )
    )
    with plumber:
        plumber.start([range(10)])
        plumber.run()
        plumber.pause()  # nothing is lost
        plumber.run()
        print("finished:", plumber.wait(timeout=60))
        (tracked,) = plumber.stats["pipers_tracked"].values()  # one dictionary for each spawn
        print(plumber.stats["results"], "results; tracked:", sorted(tracked[0].items())[:3], "...")
    print(*results.read_text().split("\n\n"), sep=", ")

    # A call at the wrong time names the state, and changes nothing.
    try:
        plumber.pause()
    except PlumberError as error:
        print("PlumberError:", error)

    # In source code: functions of this program are written down, others are imported.
    plumber.save(source)
    print([line for line in source.read_text().splitlines() if line.startswith(("def ", "from papy"))])

    # Loaded into another Plumber, in this program or in another, it does the same.
    results.unlink()
    other = Plumber()
    other.load(source)
    print(other.run([range(3)]).results, "results:", *results.read_text().split("\n\n"))
