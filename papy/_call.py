"""PiperCall: what a piper does with one item, as one callable that can be sent to another process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

from papy._errors import PiperError, WorkerError, failure, failures_in, passed_on
from papy._worker import Worker

__all__ = ["PiperCall"]


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
        retries: How often the worker is evaluated again after it raised.
    """

    __slots__ = ("__name__", "grouped", "joined", "number", "plain", "policy", "produce", "retries", "unpack", "worker")

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
    ) -> None:
        self.worker = worker
        self.__name__ = piper  # numap's messages and statistics show it
        self.number = number
        self.joined = joined
        self.grouped = grouped
        self.produce = produce
        self.policy = policy
        self.retries = retries
        step = worker.steps[0]
        simple = len(worker.steps) == 1 and not (step.args or step.kwargs or joined or grouped or retries) and produce == 1
        # Most pipers call one function with one item: a short way for these, as it is taken for each item.
        self.plain = step.function if simple else None
        self.unpack = step.unpack

    def __call__(self, item: Any) -> Any:
        function = self.plain
        if function is None or isinstance(item, PiperError):
            return self._full(item)
        try:
            return function(item) if self.unpack else function([item])
        except Exception as error:  # a failed item must not end the run
            failed = WorkerError(error, self.worker.name_of(function), [item])
            return failure(self.__name__, self.number, failed, self.policy)

    def _full(self, item: Any) -> Any:
        """Whatever the item is, and however the worker is to be evaluated."""
        if self.grouped:
            inbox = [list(part) for part in item] if self.joined else [[part] for part in item]
            failures = failures_in(chain.from_iterable(inbox))
            if failures:
                return passed_on(failures)
        else:
            inbox = list(item) if self.joined else [item]
            for one in inbox:  # as it stands here it costs next to nothing
                if isinstance(one, PiperError) and (failures := failures_in(inbox)):
                    return passed_on(failures)
        retries = self.retries
        while True:
            try:
                value = self.worker.evaluate(inbox)
                return value if self.produce == 1 else self._several(value, inbox)
            except WorkerError as error:
                if not retries:
                    return failure(self.__name__, self.number, error.with_traceback(None), self.policy)
            retries -= 1

    def _several(self, value: Any, inbox: Sequence[Any]) -> tuple[Any, ...]:
        """The results that were produced; a `WorkerError` if they are not as many as needed."""
        try:
            # One more tells "too many" of a generator that never ends.
            results = tuple(islice(value, self.produce + 1))
            if len(results) != self.produce:
                got = len(results) if len(results) < self.produce else "more"
                raise ValueError(f"{self.produce} results are needed (produce={self.produce}), got {got}")
        except Exception as error:  # the value may be a generator, which runs only now
            failed = WorkerError(error, self.worker.name, inbox)
            raise failed from failed.__cause__
        return results
