"""Other pools and pipelines behind one small face, each used as its manual says."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pickle import dumps, loads
from typing import Any, ClassVar

from functions import each

Function = Callable[[Any], Any]


class Peer:
    """A pool of two workers, or of ``workers`` threads.

    Attributes:
        name: what it is called in tables.
        module: what has to be installed.
        share: the part of the tiny items that it gets, so that slow ones come to an end; rates are compared.
        threads: it can use threads.
    """

    name: ClassVar[str]
    module: ClassVar[str] = "multiprocessing"
    share: ClassVar[float] = 1.0
    threads: ClassVar[bool] = False

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        self.workers, self.kind = workers, kind

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        raise NotImplementedError

    def chain(self, functions: list[Function], items: Iterable[Any]) -> Iterator[Any]:
        for function in functions:
            items = self.map(function, items)
        return iter(items)

    def close(self) -> None:
        """Ends the workers."""


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    source = iter(items)
    return iter(lambda: list(islice(source, size)), [])


class Numap(Peer):
    """With default arguments."""

    name, module, threads = "numap", "numap", True

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        super().__init__(workers, kind)
        self.maps: list[Any] = []

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        from numap import IMap

        imap = IMap(function, items, worker_num=self.workers, worker_type=self.kind, ordered=ordered)
        self.maps.append(imap)
        return imap

    def chain(self, functions: list[Function], items: Iterable[Any]) -> Iterator[Any]:
        from numap import IMap

        imap: Any = IMap(worker_num=self.workers, worker_type=self.kind)
        self.maps.append(imap)
        for function in functions:
            items = imap.add_task(function, items)
        imap.start()
        return iter(items)

    def close(self) -> None:
        while self.maps:
            self.maps.pop().stop()


class Hand(Peer):
    """See `hand`."""

    name, chunk, ahead = "hand", 1000, 2

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        from hand import hand_map

        return hand_map([function], items, self.chunk, self.ahead, ordered)

    def chain(self, functions: list[Function], items: Iterable[Any]) -> Iterator[Any]:
        from hand import hand_map

        return hand_map(functions, items, self.chunk, self.ahead, True)


class HandSingly(Hand):
    name, chunk, ahead = "hand, singly", 1, 1


class HandApart(Hand):
    """Each item in a pickle of its own, so that no two share an object in the worker that they shared here."""

    name = "hand, apart"

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        return self.chain([function], items)

    def chain(self, functions: list[Function], items: Iterable[Any]) -> Iterator[Any]:
        from hand import hand_map

        pickles = map(dumps, items)
        first = next(pickles)
        # Two batches have to fit into a pipe, so that neither side waits for the other with a full one.
        size = max(1, min(400, 30_000 // len(first)))
        there = [step for function in functions for step in (loads, function, dumps)]
        return map(loads, hand_map(there, chain([first], pickles), size, self.ahead, True))


class Pool(Peer):
    """``imap`` as it comes."""

    name, threads, chunk = "Pool", True, 1

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        super().__init__(workers, kind)
        from multiprocessing import get_context
        from multiprocessing.pool import ThreadPool

        self.pool: Any = get_context("fork").Pool(workers) if kind == "process" else ThreadPool(workers)

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        found: Iterator[Any] = (self.pool.imap if ordered else self.pool.imap_unordered)(function, items, self.chunk)
        return found

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class PoolTuned(Pool):
    name, chunk = "Pool, chunks of 1000", 1000


class PoolBy25(Pool):
    name, chunk = "Pool, chunks of 25", 25


class Executor(Peer):
    """``ProcessPoolExecutor.map``; reads the whole input first."""

    name, module, threads, chunk, share = "Executor", "concurrent.futures", True, 1, 0.1

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        super().__init__(workers, kind)
        self.pool: Any = self.make()

    def make(self) -> Any:
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        from multiprocessing import get_context

        if self.kind == "process":
            return ProcessPoolExecutor(self.workers, mp_context=get_context("fork"))
        return ThreadPoolExecutor(self.workers)

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        if ordered:
            found: Iterator[Any] = self.pool.map(function, items, chunksize=self.chunk)
            return found
        from concurrent.futures import as_completed

        futures = [self.pool.submit(partial(each, function), piece) for piece in chunks(items, self.chunk)]
        return chain.from_iterable(future.result() for future in as_completed(futures))

    def close(self) -> None:
        self.pool.shutdown()


class ExecutorTuned(Executor):
    name, chunk, share = "Executor, chunks of 1000", 1000, 1.0


class Loky(Executor):
    name, module = "loky", "loky"

    def make(self) -> Any:
        from loky import get_reusable_executor

        return get_reusable_executor(self.workers)


class LokyTuned(Loky):
    name, chunk, share = "loky, chunks of 1000", 1000, 1.0


class Joblib(Peer):
    """With automatic batches, lazily."""

    name, module, share = "joblib", "joblib", 0.25

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        from joblib import Parallel, delayed

        kind = "generator" if ordered else "generator_unordered"
        found: Iterator[Any] = Parallel(self.workers, return_as=kind)(delayed(function)(item) for item in items)
        return found

    def close(self) -> None:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)


class Mpire(Peer):
    """With automatic chunks where it is told the number of items."""

    name, module, threads, share = "mpire", "mpire", True, 0.25

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        super().__init__(workers, kind)
        self.pools: list[Any] = []

    def _pool(self) -> Any:
        from mpire import WorkerPool

        start = "fork" if self.kind == "process" else "threading"
        self.pools.append(WorkerPool(self.workers, start_method=start, keep_alive=True))
        return self.pools[-1]

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        # One map at a time on a pool. A tuple around each item: mpire would unpack others.
        size = len(items) if hasattr(items, "__len__") else None
        pool = self._pool()
        call = pool.imap if ordered else pool.imap_unordered
        found: Iterator[Any] = call(function, ((item,) for item in items), iterable_len=size)
        return found

    def chain(self, functions: list[Function], items: Iterable[Any]) -> Iterator[Any]:
        size = len(items) if hasattr(items, "__len__") else None
        for function in functions:
            items = self._pool().imap(function, ((item,) for item in items), iterable_len=size)
        return iter(items)

    def close(self) -> None:
        for pool in self.pools:
            pool.stop_and_join()


class Pebble(Peer):
    """Reads the whole input first."""

    name, module, share = "pebble", "pebble", 0.05

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        super().__init__(workers, kind)
        from multiprocessing import get_context

        from pebble import ProcessPool

        self.pool: Any = ProcessPool(workers, context=get_context("fork"))

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        found: Iterator[Any] = self.pool.map(function, items).result()
        return found

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Pypeln(Peer):
    """Unordered: its ``ordered`` waits for the last item."""

    name, module, share = "pypeln", "pypeln", 0.03

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        return self.chain([function], items)

    def chain(self, functions: list[Function], items: Iterable[Any]) -> Iterator[Any]:
        import pypeln

        stage: Any = items
        for function in functions:
            stage = pypeln.process.map(function, stage, workers=self.workers, maxsize=100)
        return iter(stage)


class Spdl(Peer):
    """On an executor of processes, as its manual has it for code that holds the interpreter lock."""

    name, module, share = "spdl", "spdl.pipeline", 0.02

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        super().__init__(workers, kind)
        self.executor = Executor(workers)

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        return self.chain([function], items, ordered)

    def chain(self, functions: list[Function], items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        from spdl.pipeline import PipelineBuilder

        builder = PipelineBuilder().add_source(items)
        order = "input" if ordered else "completion"
        for function in functions:
            builder = builder.pipe(
                function, executor=self.executor.pool, concurrency=2 * self.workers, output_order=order
            )
        pipeline = builder.add_sink(16).build(num_threads=1)
        with pipeline.auto_stop():
            yield from pipeline

    def close(self) -> None:
        self.executor.close()


class Dask(Peer):
    """Reads the whole input first."""

    name, module, share = "dask", "distributed", 0.01

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        super().__init__(workers, kind)
        import logging

        from distributed import Client, LocalCluster

        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        self.cluster: Any = LocalCluster(workers, threads_per_worker=1, dashboard_address=None)
        self.client: Any = Client(self.cluster)

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        futures = self.client.map(function, items, pure=False)
        return (future.result() for future in futures)

    def close(self) -> None:
        self.client.close()
        self.cluster.close()


class Ray(Peer):
    """Tasks, ten times as many at once as there are workers."""

    name, module, share = "ray", "ray", 0.01

    def __init__(self, workers: int = 2, kind: str = "process") -> None:
        super().__init__(workers, kind)
        import logging

        import ray

        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)

    def map(self, function: Function, items: Iterable[Any], ordered: bool = True) -> Iterator[Any]:
        from collections import deque

        import ray

        remote = ray.remote(function)
        source, held = iter(items), deque[Any]()
        held.extend(remote.remote(item) for item in islice(source, 10 * self.workers))
        while held:
            yield ray.get(held.popleft())
            held.extend(remote.remote(item) for item in islice(source, 1))

    def close(self) -> None:
        import ray

        ray.shutdown()


PEERS: dict[str, type[Peer]] = {
    peer.name: peer
    for peer in (
        Numap,
        Hand,
        HandSingly,
        HandApart,
        Pool,
        PoolTuned,
        PoolBy25,
        Executor,
        ExecutorTuned,
        Loky,
        LokyTuned,
        Joblib,
        Mpire,
        Pebble,
        Pypeln,
        Spdl,
        Dask,
        Ray,
    )
}


def installed(name: str) -> bool:
    """Whether a peer can be measured here."""
    module = PEERS[name].module
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
