"""How many items a piper is given for how many of the inputs, and the streams of those that change this number.

Items are paired by their place. So what pairs them, a piper or a row of outputs, can do that only where nothing has changed the
number of items in one stream and not in the other; that is known before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from papy._base.errors import PiperError
from papy._evaluate.call import PiperCall
from papy._piper.piper_options import PiperOptions
from papy._streams.base import ResumableStream
from papy._streams.batches import Batches, TimedBatches
from papy._streams.descent import Descent, through, together, unknown
from papy._streams.flatten import Flattened, values_of
from papy._streams.merge import AsTheyCome, members
from papy._streams.source import Furthest, Rhythm, StreamSource
from papy._streams.streams import items_of
from papy._streams.zip_streams import ZipStrict


def _of_input(number: int, place: int) -> tuple[tuple[int, int], ...]:
    return ((number, place),)


def with_rhythms(settings: PiperOptions, sources: tuple[StreamSource, ...]) -> tuple[StreamSource, ...]:
    """The sources of a piper: of those that are data this is the first that knows them."""
    data = Rhythm(inputs=frozenset([settings.number]), descent=partial(_of_input, settings.number))
    return tuple(source._replace(rhythm=data) if source.maker is None else source for source in sources)


def common_rhythm(settings: PiperOptions, sources: tuple[StreamSource, ...]) -> Rhythm:
    """The rhythm of what a piper pairs.

    Raises:
        PiperError: These are no pairs: one of the streams has another number of items, which depends on the items.
    """
    first = sources[0].rhythm
    for source in sources[1:]:
        if source.rhythm.number != first.number and not settings.merge:
            raise PiperError(
                f"{settings.name} can't pair the items of {sources[0].name} with those of {source.name}: "
                f"{first.different(source.rhythm)}; have one piper for each, or take them one by one: merge=True"
            )
    return first._replace(
        inputs=frozenset[int]().union(*(source.rhythm.inputs for source in sources)),
        descent=together(tuple(source.rhythm.descent for source in sources)),
        placed=all(source.rhythm.placed for source in sources),
    )


def merged(settings: PiperOptions, sources: tuple[StreamSource, ...]) -> tuple[Iterator[Any], Rhythm]:
    """The items of all sources, one by one: by their places, if they have the same, or else as they come."""
    rhythms = [source.rhythm for source in sources]
    first = common_rhythm(settings, sources)
    streams = [items_of(source) for source in sources]
    alike = {(rhythm.number, rhythm.share) for rhythm in rhythms}
    if len(alike) == 1 and first.placed and frozenset.intersection(*(rhythm.inputs for rhythm in rhythms)):
        names = [source.name for source in sources]
        rows = ZipStrict(streams, names, f"the inputs of {settings.name} are of unequal length")
        stream = Flattened(rows, members)
        descent = through(stream.parents, tuple(rhythm.descent for rhythm in rhythms))
        return stream, first.changed(settings.number, settings.name, rows.count, descent, first.inputs, True)
    loose = AsTheyCome(streams, rhythms)
    descents = tuple(rhythm.descent for rhythm in rhythms)
    used = Furthest(loose.read)
    found = partial(_of_source, loose.sources, descents)
    return loose, first.changed(settings.number, settings.name, used, found, first.inputs, False)


def _of_source(
    sources: dict[int, tuple[int, int]], descents: tuple[Descent, ...], place: int
) -> Iterator[tuple[int, int]]:
    if place in sources:
        source, before = sources[place]
        yield from descents[source](before)


def batched(
    settings: PiperOptions, call: PiperCall, items: Iterator[Any], rhythm: Rhythm
) -> tuple[Iterator[Any], Rhythm]:
    """The batches of a stream."""
    limits = settings.numbers.limits
    kind = Batches if limits.seconds is None else TimedBatches
    stream = kind(items, limits, call.joined, call.failed)
    descent = through(stream.parents, (rhythm.descent,))
    return stream, rhythm.changed(settings.number, settings.name, stream.read, descent, rhythm.inputs, rhythm.placed)


def flattened(settings: PiperOptions, source: StreamSource, rhythm: Rhythm) -> tuple[Flattened, Rhythm]:
    """The values of what a piper gives."""
    calls = items_of(source)
    assert isinstance(calls, ResumableStream)
    stream = Flattened(calls, partial(values_of, settings.number))
    descent = through(stream.parents, (rhythm.descent,))
    return stream, rhythm.changed(settings.number, settings.name, calls.count, descent, rhythm.inputs, rhythm.placed)


def of_calls(settings: PiperOptions, rhythm: Rhythm, stride: int) -> Descent:
    """From which items of the inputs a call comes."""
    if settings.consume == 1:
        return rhythm.descent
    return partial(_of_group, rhythm.descent, settings.consume) if stride == 1 else unknown


def _of_group(descent: Descent, consume: int, call: int) -> Iterator[tuple[int, int]]:
    for place in range(call * consume, (call + 1) * consume):
        yield from descent(place)


def _of_round(descent: Descent, produce: int, place: int) -> Any:
    return descent(place // produce)


def given_rhythm(settings: PiperOptions, rhythm: Rhythm, calls: Descent, stride: int, ordered: bool) -> Rhythm:
    """The rhythm of what a piper gives, if that is no flattened stream.

    Args:
        settings: The piper.
        rhythm: Of what it is given.
        calls: From which items of the inputs its calls come.
        stride: How many calls are spread together.
        ordered: What it gives is in the order of what it was given.
    """
    descent = calls
    if settings.produce > 1:
        descent = partial(_of_round, calls, settings.produce) if stride == 1 else unknown
    share = rhythm.share * settings.produce / settings.consume
    return rhythm._replace(descent=descent if ordered else unknown, placed=rhythm.placed and ordered, share=share)
