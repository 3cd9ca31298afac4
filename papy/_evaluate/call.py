"""PiperCall: what a piper does with one item, as one callable that can be sent to another process.

It turns whatever a function raises into a value, a `PiperError`, as one failed item must not end the run. What is meant
for the program and not for the item, as Ctrl-C, passes. Most pipers call one function with one item, and have a short way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from itertools import chain, islice
from os import getpid
from types import GeneratorType
from typing import Any

from numap import ItemError
from numap.interop import from_outside
from papy._base.errors import PiperError, SkipEntry, WorkerError, dropped, failures_in
from papy._base.failures import failure, passed_on
from papy._evaluate.current_item import CURRENT, Item
from papy._evaluate.misfits import instead_of_generator, wraps_generator
from papy._evaluate.routing import routed
from papy._evaluate.unfolding import Unfolding, all_values
from papy._evaluate.worker import Worker


class PiperCall:
    """Evaluate a worker on one item: the value, or a `PiperError` where a function raised or was given a failed item.

    Args:
        worker: What to do.
        piper: The name of the piper, for the failures.
        number: The number of the piper, for the failures.
        joined: An item is already a sequence with one item for each upstream piper.
        grouped: An item is a list of rounds, each of which is such an item.
        produce: So many results are needed of each call, as a tuple; 1: the value is the result.
        policy: What is to be done with items that fail here.
        retries: How often the worker is evaluated again after it raised. On an IMap this is counted there, together with workers
            that died and items that took too long: until then what failed is raised.
        here: It is evaluated in the thread of the reader of the results. What is no Exception would end more than the item
            there; an IMap deals with that itself.
        run: The token of the run, for functions that are told their `Item`.
        flatten: Each value in what the functions return is an item: the result is an iterator or a tuple of them, or the
            failure that comes behind some.
        batched: An item is a list of items.
        routes: What the functions return is one of these branches, and the result is the item with its place among them.

    Attributes:
        numbered: It is called with pairs of index and item. (Only with ``run``; without numbers all items have -1.)
    """

    __slots__ = (
        "__name__",
        "batched",
        "flatten",
        "grouped",
        "here",
        "joined",
        "number",
        "numbered",
        "pid",
        "plain",
        "policy",
        "produce",
        "retries",
        "routes",
        "run",
        "simple",
        "unpack",
        "worker",
        "wraps",
    )

    def __init__(
        self,
        worker: Worker,
        piper: str,
        number: int,
        *,
        joined: bool = False,
        grouped: bool = False,
        produce: int = 1,
        policy: str = "return",
        retries: int = 0,
        here: bool = False,
        run: str | None = None,
        flatten: bool = False,
        batched: bool = False,
        routes: tuple[Any, ...] = (),
    ) -> None:
        self.worker = worker
        self.__name__ = piper  # numap's messages and statistics show it
        self.number = number
        self.joined = joined
        self.grouped = grouped
        self.produce = produce
        self.policy = policy
        self.retries = retries
        self.here = here
        self.run = run
        self.numbered = run is not None
        self.flatten = flatten
        self.batched = batched
        self.routes = routes
        self.wraps = produce == 1 and not flatten and wraps_generator(worker.steps[-1].function)
        self.pid = getpid()  # of the process that it was made in
        step = worker.steps[0]
        special = step.args or step.kwargs or joined or grouped or retries or run or self.wraps
        simple = len(worker.steps) == 1 and produce == 1 and not (special or flatten or batched or routes)
        # Most pipers call one function with one item: a short way for these, as it is taken for each item.
        # From the first result on that is as it should be: what a function returns is not known before.
        self.simple = simple
        self.plain: Callable[..., Any] | None = None
        self.unpack = step.unpack

    @property
    def __numap_retries__(self) -> int:
        return self.retries

    def __call__(self, item: Any) -> Any:
        function = self.plain
        if function is None or isinstance(item, PiperError):
            return self._full(item)
        try:
            return function(item) if self.unpack else function([item])
        except BaseException as error:  # a failed item must not end the run
            if isinstance(error, SkipEntry):
                return dropped(frozenset([self.number]))
            if self._is_not_ours(error):
                raise
            failed = WorkerError(_grounded(error), self.worker.name_of(function), [item])
            return failure(self.__name__, self.number, failed, self.policy)

    def _is_not_ours(self, error: BaseException) -> bool:
        """Whether this is for the reader of the results, or for an IMap, which deals with what is no Exception itself."""
        # Ctrl-C, and what a handler of a signal raises (to leave the program, for example); a KeyboardInterrupt of the function's
        # own counts as the first. A handler in a worker process is the worker's: to have an item fail that takes too long.
        if getpid() == self.pid and (isinstance(error, KeyboardInterrupt) or from_outside(error)):
            return True
        return not self.here and not isinstance(error, Exception)

    def _passes(self, error: BaseException) -> bool:
        """Whether this is no failure of the function that raised it."""
        return isinstance(error, SkipEntry) or self._is_not_ours(error)

    def _full(self, item: Any) -> Any:
        """Whatever the item is, and however the worker is to be evaluated."""
        if self.run is None:
            return self._evaluated(item)
        index = -1
        if self.numbered:
            index, item = item
        before = CURRENT.set(Item(self.run, self.number, index))
        try:
            return self._evaluated(item)
        finally:
            CURRENT.reset(before)

    def _evaluated(self, item: Any) -> Any:
        if self.grouped or self.batched:
            inbox, members = self._collected(item)
        else:
            inbox = members = list(item) if self.joined else [item]
        for one in members:  # as it stands here it costs next to nothing
            if isinstance(one, PiperError) and (failures := failures_in(members)):
                return passed_on(failures)
        retries = self.retries
        while True:
            try:
                value = self.worker.evaluate(inbox, self._passes)
                return self._result(value, inbox, retries)
            except SkipEntry:
                return dropped(frozenset([self.number]))
            except WorkerError as error:
                failed = error.with_traceback(None)
            except BaseException as error:
                if self._is_not_ours(error):
                    raise
                failed = WorkerError(_grounded(error), self.worker.name, inbox)
            if not retries:
                return self._failure(failed)
            if not self.here:
                raise self._failure(failed)
            retries -= 1

    def _collected(self, item: Any) -> tuple[list[Any], list[Any]]:
        """What the functions are called with where a call takes several items, and what may have failed of it."""
        if self.grouped:
            inbox = [list(part) for part in item] if self.joined else [[part] for part in item]
            return inbox, list(chain.from_iterable(inbox))
        if isinstance(item, PiperError):
            return [item], [item]
        return ([list(part) for part in zip(*item, strict=True)] if self.joined else [item]), []

    def _failure(self, failed: WorkerError) -> PiperError:
        """The failure of an item; what came before it, `_unfolded` has noted."""
        before = failed.__dict__.pop("_before", ())
        made = failure(self.__name__, self.number, failed, self.policy)
        if before:
            made.__dict__["_before"] = before
        return made

    def _result(self, value: Any, inbox: Sequence[Any], retries: int) -> Any:
        """What becomes of what the functions returned."""
        if self.flatten:
            return self._unfolded(value, inbox, retries)
        if self.routes:
            return routed(self.routes, value, inbox[0])
        return self._single(value) if self.produce == 1 else self._several(value, inbox)

    def _unfolded(self, value: Any, inbox: Sequence[Any], retries: int) -> Any:
        """The values, as they are asked for if that is here; else all of them, with those before an error at the error."""
        if self.here:
            unfolding = Unfolding(self._again, self.failed, inbox, retries)
            return unfolding if unfolding.first(value) else ()
        made, error = all_values(value)
        if error is None:
            return made
        failed = WorkerError(error, self.worker.name, inbox)
        failed.__dict__["_before"] = made
        raise failed from failed.__cause__

    def _again(self, inbox: Sequence[Any]) -> Any:
        return self.worker.evaluate(inbox, self._passes)

    def failed(self, error: BaseException, inbox: Sequence[Any]) -> PiperError | None:
        """The failure of an item whose values raised; None, if that is for the reader of the results."""
        if isinstance(error, WorkerError):
            return self._failure(error.with_traceback(None))
        if self._is_not_ours(error):
            return None
        return self._failure(WorkerError(_grounded(error), self.worker.name, inbox))

    def _single(self, value: Any) -> Any:
        """The value; a TypeError if it comes from a generator function that a decorator has hidden."""
        if isinstance(value, GeneratorType) and (self.wraps or value.gi_code.co_name != "<genexpr>"):
            raise TypeError(instead_of_generator(value.__name__))  # an expression may be meant for the next piper
        if self.simple:
            self.plain = self.worker.steps[0].function
        return value

    def _several(self, value: Any, inbox: Sequence[Any]) -> tuple[Any, ...]:
        """The results that were produced; a `WorkerError` if they are not as many as needed."""
        try:
            # One more tells "too many" of a generator that never ends.
            results = tuple(islice(value, self.produce + 1))
            if len(results) != self.produce:
                got = (
                    len(results) if len(results) < self.produce else len(value) if isinstance(value, Sized) else "more"
                )
                raise ValueError(f"{self.produce} results are needed (produce={self.produce}), got {got}")
        except Exception as error:  # the value may be a generator, which runs only now
            if self._passes(error):
                raise
            failed = WorkerError(error, self.worker.name, inbox)
            raise failed from failed.__cause__
        return results


def _grounded(error: BaseException) -> Exception:
    """What must not end the reader of the results, as an Exception with the same traceback."""
    if isinstance(error, Exception):
        return error
    text = f": {error}" if str(error) else ""
    made = ItemError(f"{type(error).__name__} raised{text}", error)
    made.__traceback__ = error.__traceback__
    error.__traceback__ = None
    return made
