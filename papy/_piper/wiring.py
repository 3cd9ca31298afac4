"""The streams of one piper in one run. Knows numap and the streams of papy, but neither pipers nor graphs.

Linear pipers become links of one chain. Tasks of the same IMap are chained by numap itself, without detours, as long as
they need no rounds, no pairing of different engines and no numbers. All else is read as values by our own streams, and
given to the IMap as its input.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from numap import IMap, NumapError, StateError, TaskIterator, join
from numap.interop import add_note, is_detachable, keep_order
from papy._base.errors import POLICIES, PiperError
from papy._base.threads import Flag
from papy._evaluate.call import PiperCall
from papy._evaluate.counts import StreamCounts
from papy._evaluate.current_item import Folder
from papy._evaluate.provenance import Provenance
from papy._piper.piper_options import PiperOptions
from papy._piper.rhythms import batched, common_rhythm, flattened, given_rhythm, merged, of_calls, with_rhythms
from papy._streams.base import ResumableStream
from papy._streams.descent import Descent, unknown
from papy._streams.interleave import Blocks, deinterleave, interleave, split
from papy._streams.results import RunReport
from papy._streams.source import Ending, Link, Rhythm, StreamSource
from papy._streams.streams import SEQUENCES, Chain, TaskStream, TimedTaskStream, items_of
from papy._streams.zip_streams import Numbered, Numbering, ZipStrict


def _token() -> str:
    return f"{os.getpid()}-{os.urandom(8).hex()}"


@dataclass(frozen=True, eq=False)
class Run:
    """What the pipers of one run share.

    Attributes:
        by_place: Results are paired somewhere: what comes out must be in the order of what went in.
        policy: What is to be done with items that fail on a piper that doesn't say it itself.
        retries: How often pipers that don't say it themselves evaluate an item again; None: as their IMap says, or not.
        report: Gets what comes out of the outputs.
        started: Set when all IMaps have been started, or never will be.
        counts: Show how often each piper was evaluated.
        token: Its name, which no other run has.
        folders: Where its functions put files.
        routes: For the number of each piper that routes the branches that there are.
        constants: Given to all functions that have parameters of these names.
        descents: For the number of each piper, from which items of the inputs its calls come.
    """

    by_place: bool
    policy: str = POLICIES[0]
    retries: int | None = None
    report: RunReport = field(default_factory=RunReport)
    started: Flag = field(default_factory=Flag)
    counts: StreamCounts = field(default_factory=dict)
    token: str = field(default_factory=_token)
    folders: list[Folder] = field(default_factory=list)
    routes: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    descents: dict[int, Descent] = field(default_factory=dict)

    def enter(self) -> None:
        """It starts: its folders hear of that, and of its end."""
        for folder in self.folders:
            weakref.finalize(self, folder.leave, self.token)
            folder.enter(self.token)

    def leave(self) -> None:
        """It is over."""
        for folder in self.folders:
            folder.leave(self.token)


class Wiring(NamedTuple):
    """What a piper reads and gives.

    Attributes:
        sources: What it reads.
        output: What it gives; None: it is not connected.
        task: The task of its IMap, if there is one.
        results: Gives the results that were tracked, by the index of their call.
        stride: How many items are taken in one go.
        ending: How what it reads ends; None: that is not made in blocks.
    """

    sources: tuple[StreamSource, ...] = ()
    output: StreamSource | None = None
    task: TaskIterator[Any] | None = None
    results: Callable[[], Mapping[int, Any]] = dict
    stride: int = 1
    ending: Ending | None = None

    def tracked(self, spawn: int) -> list[dict[int, Any]]:
        """The tracked results, one dictionary for each spawn: they take turns in strides."""
        return split(dict(self.results()), self.stride, spawn, self.ending)


def wire(settings: PiperOptions, sources: tuple[StreamSource, ...], run: Run) -> Wiring:
    """Make the streams of a piper; nothing is read yet.

    Raises:
        PiperError: If what its inputs give is not what it takes, or its IMap is running.
    """
    sources = with_rhythms(settings, sources)
    stride = _checked_stride(settings, sources)
    rhythm = common_rhythm(settings, sources)
    call = _call(settings, sources, run)
    items, rhythm = _counted_anew(settings, sources, call, rhythm)
    descent = run.descents[settings.number] = of_calls(settings, rhythm, stride)
    maker = Provenance(call, run.started, run.counts)
    maker.shown = frozenset([settings.number])
    task = None
    results: Callable[[], Mapping[int, Any]] = dict
    if settings.imap is None:
        tracked: dict[int, Any] | None = {} if settings.track else None
        results = dict if tracked is None else tracked.copy
        chain = _chained(call, tracked, _gathered(settings, sources, stride) if items is None else items)
        maker.show(chain.count)
        stream: Iterable[Any] = chain
    else:
        stream = task = _task(maker, settings, sources, stride, items)
        if run.by_place or settings.spawn > 1 or any(source.width > 1 for source in sources):
            keep_order(task)
        if settings.track:
            results = partial(getattr, task, "tracked")
        if settings.timeout is not None:
            stream = _timed(settings.imap, task, maker, run.by_place)
    wide = (source for source in sources if source.maker is not None and source.width > 1)
    ending = next((source.ending for source in wide), None)
    given = ending
    if settings.produce > 1:
        turn = partial(
            interleave, produce=settings.produce, stride=stride, width=settings.spawn, repeat=settings.repeat
        )
        stream = Blocks(items_of(StreamSource(stream, settings.name, maker)), settings.spawn * stride, turn, stride)
        given = stream.ending
    ordered = settings.imap is None or run.by_place or bool(settings.imap.options["ordered"])
    if settings.flatten:
        rhythm = rhythm if ordered else rhythm._replace(descent=unknown, placed=False)
        stream, rhythm = flattened(settings, StreamSource(stream, settings.name, maker), rhythm)
    else:
        rhythm = given_rhythm(settings, rhythm, descent, stride, ordered)
    if not ordered:
        run.descents[settings.number] = unknown
    if isinstance(stream, ResumableStream):
        maker.shown = frozenset()  # the reader of a branch may see it in part, or see rounds
    width = settings.produce * settings.spawn
    output = StreamSource(stream, settings.name, maker, width, stride, settings.imap, given, rhythm)
    return Wiring(sources, output, task, results, stride, ending)


def _counted_anew(
    settings: PiperOptions, sources: tuple[StreamSource, ...], call: PiperCall, rhythm: Rhythm
) -> tuple[Iterator[Any] | None, Rhythm]:
    """What goes into the calls, and how many of it; None: as many as the sources give."""
    items: Iterator[Any] | None = None
    if settings.merge and len(sources) > 1:
        items, rhythm = merged(settings, sources)
    if settings.numbers.batched:
        ahead = _paired(settings, sources) if items is None else items
        items, rhythm = batched(settings, call, ahead, rhythm)
    return items, rhythm


def _call(settings: PiperOptions, sources: tuple[StreamSource, ...], run: Run) -> PiperCall:
    """What is done with one item."""
    worker = settings.worker.given(run.constants)
    folders = list(worker.folders())
    run.folders.extend(folders)
    return PiperCall(
        worker,
        settings.name,
        settings.number,
        joined=len(sources) > 1 and not settings.merge,
        grouped=settings.consume > 1,
        produce=1 if settings.repeat else settings.produce,
        policy=settings.on_error or run.policy,
        retries=_retries(settings, run),
        here=settings.imap is None,
        run=run.token if folders else None,
        flatten=settings.flatten,
        batched=settings.numbers.batched,
        routes=_routes(settings, sources, run),
    )


def _routes(settings: PiperOptions, sources: tuple[StreamSource, ...], run: Run) -> tuple[Any, ...]:
    """The branches that a piper can send items to; PiperError if there are none, or it can't have one item to send."""
    if not settings.route:
        return ()
    if len(sources) > 1 and not settings.merge:
        raise PiperError(
            f"{settings.name} routes one item at a time, and reads several pipers; have a piper before it that pairs their items"
        )
    found = run.routes.get(settings.number, ())
    if not found:
        raise PiperError(
            f"{settings.name} routes, and there are no pipers behind it to send an item to; in a Dagger, add a pipe to "
            f"each of them, with branch=... for what {settings.worker.name} returns"
        )
    return found


def _retries(settings: PiperOptions, run: Run) -> int:
    """How often an item is evaluated again: as the piper says, or else the run, or else the IMap."""
    of_imap: int = 0 if settings.imap is None else settings.imap.options["retries"]
    return next(said for said in (settings.retries, run.retries, of_imap) if said is not None)


def start_imap(imap: IMap[Any], names: str) -> None:
    """Start an IMap; what goes wrong names its pipers."""
    try:
        imap.start()
    except NumapError as error:
        add_note(error, f"on the IMap of {names}")
        raise


def _checked_stride(settings: PiperOptions, sources: tuple[StreamSource, ...]) -> int:
    """The stride of what a piper reads; PiperError if its inputs don't fit."""
    takes = settings.consume * settings.spawn
    made = [source for source in sources if source.maker is not None]
    for source in made:
        if source.width != takes:
            raise PiperError(
                f"{settings.name} takes {takes} items a round (consume={settings.consume} * spawn={settings.spawn}), "
                f"but {source.name} gives {source.width} (produce * spawn)"
            )
    strides = {source.stride for source in made} if takes > 1 else set()
    if len(strides) > 1:
        names = ", ".join(f"{source.name} of {source.stride}" for source in made)
        raise PiperError(
            f"the inputs of {settings.name} come in different strides: {names}; set the same on their IMaps"
        )
    return strides.pop() if strides else settings.stride


def _paired(settings: PiperOptions, sources: tuple[StreamSource, ...]) -> Iterator[Any]:
    """The items of all sources, as values: rows, if there are several sources."""
    streams = [items_of(source) for source in sources]
    if len(streams) == 1:
        return streams[0]
    names = [source.name for source in sources]
    return ZipStrict(streams, names, f"the inputs of {settings.name} are of unequal length")


def _grouped(
    items: Iterator[Any], settings: PiperOptions, sources: tuple[StreamSource, ...], stride: int
) -> Iterator[Any]:
    """The groups that go into one call."""
    made = any(source.maker is not None for source in sources)
    width = settings.consume * settings.spawn if made else None
    size = (width or settings.consume) * stride
    return Blocks(items, size, partial(deinterleave, consume=settings.consume, stride=stride, width=width))


def _gathered(settings: PiperOptions, sources: tuple[StreamSource, ...], stride: int) -> Iterator[Any]:
    """What goes into the calls, as values."""
    items = _paired(settings, sources)
    return _grouped(items, settings, sources, stride) if settings.consume > 1 else items


def _chained(call: PiperCall, tracked: dict[int, Any] | None, items: Iterator[Any]) -> Chain:
    """Evaluate here."""
    chain = items if isinstance(items, Chain) else Chain(items, ())
    return chain.then(Link(call if call.run is None else Numbering(call, chain.count), tracked))


def _task(
    maker: Provenance,
    settings: PiperOptions,
    sources: tuple[StreamSource, ...],
    stride: int,
    items: Iterator[Any] | None,
) -> TaskIterator[Any]:
    """Have the IMap evaluate it."""
    assert settings.imap is not None
    if items is not None:
        stream: Iterable[Any] = items
    elif settings.consume > 1:
        stream = _gathered(settings, sources, stride)
    elif not (maker.call.run is None or all(_tells_apart(it, settings.imap) for it in sources)):
        stream = _paired(settings, sources)
    elif len(sources) > 1 and not all(_is_chained(it, settings.imap) for it in sources):
        stream = _paired(settings, sources)  # numap knows no names for these
    else:
        maker.call.numbered = False
        streams = [_for_numap(source, maker, settings.imap) for source in sources]
        stream = join(*streams) if len(streams) > 1 else streams[0]
    if maker.call.numbered:
        stream = Numbered(iter(stream))
    try:
        task = settings.imap.add_task(maker.call, stream, timeout=settings.timeout, track=settings.track)
    except StateError as error:
        state = settings.imap.statistics().state
        if state == "running":
            raise PiperError(
                f"the IMap of {settings.name} is running already, in another Dagger for example"
            ) from error
        raise PiperError(f"the IMap of {settings.name} is {state} from another use; stop() it first") from error
    maker.calls[task.task] = maker.call
    return task


def _is_chained(source: StreamSource, imap: IMap[Any]) -> bool:
    """Whether numap itself passes the items on: they come from a task of the same IMap, as they are."""
    return source.imap is imap and not isinstance(source.stream, ResumableStream)


def _tells_apart(source: StreamSource, imap: IMap[Any]) -> bool:
    """Whether no two items are the same file: they come by themselves from a function that sees to that."""
    call = None if source.maker is None else source.maker.call
    return _is_chained(source, imap) and call is not None and call.run is not None and len(call.worker.steps) == 1


def _for_numap(source: StreamSource, reader: Provenance, imap: IMap[Any]) -> Iterable[Any]:
    """A source as the input of a task."""
    if source.maker is None:
        # What numap splits or pairs itself it reads at the places of failed items, too.
        raw = type(source.stream) in SEQUENCES or is_detachable(source.stream)
        return source.stream if raw else items_of(source)
    if not _is_chained(source, imap):
        # Read as values: an item that another engine could not deliver is a failure of a piper there.
        return items_of(source)
    # Tasks of the same IMap are chained by numap without detours.
    reader.calls = source.maker.calls | reader.calls if reader.calls else source.maker.calls
    reader.shown |= source.maker.shown
    return source.stream


def _timed(imap: IMap[Any], task: TaskIterator[Any], maker: Provenance, by_place: bool) -> TaskStream:
    if by_place and not imap.options["skip"]:
        return TimedTaskStream(task, maker, imap.get_task(task.task))
    return TaskStream(task, maker, again=not imap.options["skip"])
