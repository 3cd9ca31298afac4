"""Pipeline: steps in a row, each with workers of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from functools import partial
from types import TracebackType
from typing import Any, Final

from numap import StateError
from numap.interop import Drawn, checks, picture
from papy._base.checks import check_seconds
from papy._base.dead_letters import DeadLetters
from papy._base.misuse import entries_of, takes_no_data
from papy._base.pictures import row_picture
from papy._base.public import public
from papy._monitor.counter import Counter
from papy._monitor.debugger import PipelineRuntimeDebugger, log_debugger
from papy._pipeline.input_queue import InputQueue
from papy._pipeline.pipeline_run import PipelineRun
from papy._pipeline.results import PipelineResults
from papy._pipeline.runs import Runs
from papy._stages.dead_letters import DeadLetter, LetterBox
from papy._stages.entries import Meta
from papy._stages.spec import NAMES, Limits, StepOptions, define, steps_of, unknown

# The arguments of a pipeline that are no options of its steps.
_ARGUMENTS: Final = (
    *(
        "in_queue",
        "daemon",
        "quiet",
        "fail_callback",
        "debugger",
        "buffer_bytes",
        "max_failures",
        "ordered",
        "on_dead_letter",
    ),
)


@public
class Pipeline(Drawn):
    """Steps in a row, each with as many workers as it needs; entries go through all of them, and nothing is lost silently.

    Each entry that is taken either leaves the last step, or is skipped, or fails: ``taken == count + skipped + failed``
    at the end of a run. An error ends the run, and is raised where the run was started.

    In a ``with`` block it runs in the background. An error of the block ends the run at once and goes on; if the pipeline has
    failed, too, that error is told by a note and is the ``__context__``.

    Args:
        steps: Tuples ``(step, workers)`` or ``(step, workers, options)``, one by one or in one list. A step is a step class
            (see `AbstractStep`, `AbstractIterStep`) or a function of one entry. Options are those of the pipeline,
            for this step only (all of those from ``worker_type`` on); all others are the step's own, and its
            ``initialize`` gets them.
        in_queue: A queue (with ``put``, ``put_nowait``, ``get``, ``empty``) that others put entries into; None: entries come by
            `put` and `put_iterable` only. If it has ``task_done``, that is called for each entry when it is taken.
        daemon: Entries that a run in the background has not finished are given up at the end of the program; else
            the end waits for them.
        quiet: No lines about the steps in the log; else the logger ``papy.pipeline`` gets them, at most every second, if it is
            at the level DEBUG.
        fail_callback: Called without arguments when a run has failed, before its error is raised, in a thread of the pipeline's.
            It is also called at the end of a run in which entries failed that may (``max_failures``). What it raises itself goes to
            the log only.
        debugger: Shows what the steps do, see `PipelineRuntimeDebugger`. An error of a reporter is one of the run.
        buffer_bytes: Bytes of all entries in it at most, about, as `numap.sizeof` tells them; the steps share them, and one entry
            always has room in each. What workers are busy with can't be measured before. None: 64 MB, or what keeps them busy.
        max_failures: So many entries may fail, after their retries: they are counted as failed, the run goes on, and at its end
            one warning of the logger ``papy`` tells of them, step by step. One more ends the run with `numap.TooManyFailures`.
            None: the first one ends it with its own error. A generator is over when it has raised: an iterator step ends the run.
        ordered: What leaves the last step is in the order of the entries.
        on_dead_letter: Called with each `DeadLetter` when it fails, in the thread that finds it. An error of its own ends the run.
        worker_type: ``"thread"`` or ``"process"``. Iterator steps always run in threads.
        on_error: What becomes of an entry that failed, after its retries. ``"raise"``: its error ends the run, unless
            ``max_failures`` lets some fail. ``"skip"``: it is dropped, and the run goes on. ``"return"``: a `DeadLetter` is the
            result in its place, which no later step gets. Whatever goes on is in `dead_letters`, and is told in one warning at the
            end. Iterator steps always raise.
        max_retries: How often an entry is tried again after its step raised an exception: 0 is one attempt.
        backoff: Seconds from the first failure of an entry to its next attempt, doubled after each further one. Meanwhile
            the worker waits; `stop` has entries tried again at once.
        max_backoff: Seconds that such a wait takes at most.
        retry_on: A class of exceptions, or a tuple of them: after others an entry is not tried again.
        task_timeout: Seconds that an entry may be in its step; a process over it is killed and replaced. With processes only,
            as are the following three, see `numap.IMap`.
        start_method, max_items_per_worker, preload: Of the worker processes.
        retries, buffer: The same as ``max_retries`` and ``threshold``.
        threshold: Entries that wait in a step at most: for its workers, or done and not yet taken by the next step. None: 128.
        tracker: An object whose ``before_process(step)`` and ``after_process(step)`` are called around each ``process``; of an
            iterator step, when it gets an entry and when it asks for the next one or has come to its end. In a worker process
            they are called on a copy that lives there: what that counts or keeps is not seen here.

    Raises:
        TypeError, ValueError: An argument is not allowed; the message names it, and the step.

    >>> from papy import Pipeline
    >>> pipeline = Pipeline((str.strip, 4), (len, 1))
    >>> sorted(pipeline.results([" a", "bc ", "d"]))
    [1, 1, 2]
    >>> pipeline.put_iterable([" a", "bc ", "d"])
    >>> pipeline.run()
    >>> pipeline.taken, pipeline.count
    (6, 6)
    """

    #: What to write where one is given to a piper.
    __papy_instead__ = (
        "a {0} is no function: read {0}.results(items), or give each of its functions to a Piper, with unpack=True"
    )

    def __init__(
        self,
        *steps: Any,
        in_queue: Any = None,
        daemon: bool = False,
        quiet: bool = False,
        fail_callback: Callable[[], object] | None = None,
        debugger: PipelineRuntimeDebugger | None = None,
        buffer_bytes: int | None = None,
        max_failures: int | None = None,
        ordered: bool = False,
        on_dead_letter: Callable[[DeadLetter], object] | None = None,
        **options: Any,
    ) -> None:
        strange = options.keys() - NAMES
        if strange:
            raise unknown(strange, _ARGUMENTS)
        if fail_callback is not None and not callable(fail_callback):
            raise checks.wrong_type("fail_callback", "callable or None", fail_callback)
        if on_dead_letter is not None and not callable(on_dead_letter):
            raise checks.wrong_type("on_dead_letter", "callable or None", on_dead_letter)
        checks.flag("ordered", ordered)
        self._specs = define(steps_of(steps), StepOptions().changed(options, ""))
        self._ordered = ordered
        self._check_order(ordered)
        self._on_dead_letter = on_dead_letter
        self._letters = LetterBox(None)
        self._inputs = InputQueue(in_queue)
        if debugger is not None and not isinstance(debugger, PipelineRuntimeDebugger):
            raise checks.wrong_type("debugger", "a PipelineRuntimeDebugger or None", debugger)
        self._limits = Limits(buffer_bytes, max_failures)
        self._daemon = daemon
        self._quiet = quiet
        self._debugger = debugger
        self._on_failure = fail_callback if fail_callback is not None else lambda: None
        self._runs = Runs(self._inputs)

    # ------------------------------------------------------------------ entries

    def put(self, entry: Any) -> None:
        """Puts an entry in, before a run or while one goes on, from any thread.

        Raises:
            StateError: After `finish`, or when the run has failed and its error was not yet raised: it would be lost.
        """
        self._runs.check_put("put")
        self._inputs.put(entry, "put")

    def put_all(self, entries: Iterable[Any]) -> None:
        """Puts all entries of an iterable in, now; raises what `put` raises."""
        for entry in entries:
            self.put(entry)

    def put_iterable(self, iterable: Iterable[Any]) -> None:
        """Has the pipeline take the entries of an iterable as it needs them; then `run` needs no `finish`.

        Several iterables take turns, unless all of them are Python's own containers, which are read one after the other. If one
        raises, nothing more is taken, what was taken before goes through, and then its error ends the run.

        Entries that are `put` go before those that were not yet taken, and don't wait for an iterable that may be endless (a
        generator, ``iter(queue.get, None)``) and blocks: all but Python's own containers are read in a thread of their own.

        Raises:
            TypeError: It is not iterable.
            StateError: As for `put`.
        """
        self._runs.check_put("put_iterable")
        self._inputs.put_iterable(iterable)

    def put_meta(self, entry: Any) -> None:
        """Puts a meta entry in, which each step gives to ``process_meta`` of one of its workers.

        It may overtake entries that other workers are busy with; it passes functions and iterator steps.

        Raises:
            StateError: As for `put`.
        """
        self._runs.check_put("put_meta")
        self._inputs.put(Meta(entry), "put_meta")

    def finish(self) -> None:
        """Says that no more entries will be put: the run ends when all that there are have been through."""
        if not self._runs.is_elsewhere():
            self._inputs.finish()

    # ------------------------------------------------------------------ runs

    @takes_no_data("put_iterable({0}) first, or results({0}) for what comes out")
    def run(self, *, progress: Any = None) -> None:
        """Runs until all entries have been through; the results of the last step are counted, and dropped.

        Args:
            progress: True, a title, or a bar of tqdm or rich: show how far each step is, see `numap.IMap`.

        Raises:
            ValueError: There is no `put_iterable` and no `finish` before: it would never end.
            StateError: The pipeline runs already.
            Exception: What a step, a hook or a source raised, with a note that says where.
        """
        checks.progress_bar("progress", progress)
        self._runs.check_here("run")
        self._runs.settle()
        self._runs.check_free("run")
        if not self._inputs.finished and not self._inputs.iterables:
            raise ValueError("run: must be filled with entries before: put_iterable(), or put() and finish()")
        run = self._made(self._inputs, forever=False, ordered=self._ordered)
        run.progress = progress, None
        self._runs.run("run", run)

    def run_forever(self, background: bool = False) -> Pipeline:
        """Runs until `finish` or `stop` is called, and all entries that were put before have been through.

        Args:
            background: Return at once, and run in threads of the pipeline's until `stop`. A pipeline that is not referred
                to any more ends; what is lost by that, entries or an error, is told by the logger ``papy``.

        Returns:
            The pipeline.

        Raises:
            StateError: The pipeline runs already.
            Exception: As for `run`; in the background only what hooks raise before the start.
        """
        checks.flag("background", background)
        self._runs.check_here("run_forever")
        run = self._made(self._inputs, forever=True, ordered=self._ordered)
        if background:
            self._runs.run_behind("run_forever", run, self._daemon)
        else:
            self._runs.run("run_forever", run)
        return self

    def stop(self, timeout: float | None = None) -> None:
        """Has a run finish what was put, and waits for its end. Where nothing runs, it does nothing.

        From now on an entry that failed is tried again without a ``backoff``. An iterable that may be endless or block, any but
        Python's own containers, is read on for 5 seconds at most. After `finish`, and at the end of a ``with`` block, iterables
        are read to their end.

        A part of the run can't wait for its end: in a worker, its hooks, a source, ``fail_callback`` or a reporter, and in a signal
        handler of the thread that is in `run` or in `put`, it is `finish`. An interrupt while it waits ends the run at once.

        `results` that are being read are ended at once, and what was on its way is skipped; the next ``next`` is a StateError.

        Args:
            timeout: Seconds that this may take, as for `Dagger.stop`; what is not through by then is skipped, and one warning
                of the logger ``papy`` says how much that was. 0: nothing flows any more; None: however long it takes.

        Raises:
            TypeError, ValueError: The timeout is none.
            Exception: What went wrong in a run in the background, once. Any other run raises it where it was started.
        """
        check_seconds("timeout", timeout)
        self._runs.stop(timeout=checks.limited(timeout))

    def results(self, iterable: Iterable[Any], ordered: bool | None = None, progress: Any = None) -> PipelineResults:
        """The results of the last step for the entries of an iterable, lazily, as they come.

        The run begins with the first ``next``, and ends, for whatever reason, with the iterator, by its ``close()`` or by `stop`.
        It is for the entries of the iterable only: meanwhile nothing can be `put`.

        Args:
            iterable: The entries; may be infinite.
            ordered: In the order of the entries. None: as the pipeline says.
            progress: True, a title, or a bar of tqdm or rich: show how far each step is, see `numap.IMap`.

        Raises:
            TypeError: It is not iterable.
            ValueError: ``ordered``, and an iterator step has several workers: what they make has no order.
            StateError: The pipeline has an ``in_queue``. By the first ``next``: it runs already, or entries wait that were put
                before. By ``next``, once, after `stop`.
            Exception: By ``next``, as for `run`.

        >>> from papy import Pipeline
        >>> list(Pipeline((abs, 2)).results(range(-3, 0), ordered=True))
        [3, 2, 1]
        """
        in_order = self._ordered if ordered is None else ordered
        self._check_order(in_order)
        self._runs.check_here("results")
        if self._inputs.foreign:
            raise StateError(
                "results: not allowed with an in_queue, from which they take nothing; make a pipeline without one"
            )
        checks.progress_bar("progress", progress)
        total = len(iterable) if isinstance(iterable, Sized) else None
        entries = entries_of(iterable)

        def make() -> PipelineRun:
            inputs = InputQueue(alone=True)
            inputs.put_iterable(entries)
            run = self._made(inputs, forever=False, ordered=in_order)
            run.progress = progress, total
            return run

        return PipelineResults(make, partial(self._runs.begin, "results"))

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Pipeline can't be pickled or copied: it runs where it was made; give its steps to another Pipeline"
        )

    def __enter__(self) -> Pipeline:
        return self.run_forever(background=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runs.leave_block(error)

    def _made(self, inputs: InputQueue, forever: bool, ordered: bool) -> PipelineRun:
        debugger = self._debugger if self._debugger is not None or self._quiet else log_debugger()
        letters = self._letters = LetterBox(self._on_dead_letter)
        return PipelineRun(self._specs, inputs, forever, ordered, self._on_failure, debugger, self._limits, letters)

    def _check_order(self, ordered: bool) -> None:
        for spec in self._specs if ordered else ():
            if spec.iterates and spec.workers > 1:
                raise ValueError(
                    f"ordered: iterator step {spec.name!r} has {spec.workers} workers; with order it can have 1"
                )

    # ------------------------------------------------------------------ looks

    @property
    def alive(self) -> bool:
        """Whether it runs: it has been started, and neither ended nor failed. In a fork of the process it does not run."""
        run = self._runs.last
        return run is not None and run.state.reason is None and not run.is_elsewhere()

    @property
    def ok(self) -> bool:
        """False after an error, until the next run."""
        return self._runs.last is None or self._runs.last.state.ok

    @property
    def taken(self) -> int:
        """Entries that were taken in all runs; also those that iterator steps made beyond what they took."""
        return self._runs.counts().taken

    @property
    def count(self) -> int:
        """Entries, meta entries included, that have left the last step in all runs."""
        return self._runs.counts().count

    @property
    def skipped(self) -> int:
        """Entries that were dropped: by `SkipEntry`, into fewer by an iterator step, or on their way when a run ended early."""
        return self._runs.counts().skipped

    @property
    def failed(self) -> int:
        """Entries that ended in an error; it has ended their run, or ``max_failures`` says that so many may."""
        return self._runs.counts().failed

    @property
    def merged(self) -> int:
        """Entries that count as skipped, but have become part of others: in an iterator step that makes fewer than it takes."""
        return self._runs.counts().merged

    @property
    def dead_letters(self) -> DeadLetters[DeadLetter]:
        """The entries that failed in this run, or in the last one, without ending it; the last 1,000."""
        return self._letters.letters()

    @property
    def counter(self) -> Counter:
        """The counts of this run, or of the last one, as they are now.

        Its ``counts`` have, for each step, ``name``: entries that it has passed on, and for function steps ``name in``:
        entries that are in it.
        """
        counter = Counter(show_every=None)
        if self._runs.last is not None:
            for name, value in self._runs.last.figures.flows():
                counter.gauge(name, value)
        return counter

    def _picture(self) -> picture.Picture:
        done = {} if self._runs.last is None else dict(self._runs.last.figures.flows())
        steps = [(it.name, it.workers, it.settings.worker_type, done.get(it.name, 0)) for it in self._specs]
        return row_picture(repr(self), steps)

    def __repr__(self) -> str:
        steps = ", ".join(f"({spec.name}, {spec.workers})" for spec in self._specs)
        return f"<Pipeline {steps}: {'running' if self.alive else 'ok' if self.ok else 'failed'}>"
