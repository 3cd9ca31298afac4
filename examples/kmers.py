"""Count the k-mers of sequencing reads, and estimate the size of the genome from them.

    python examples/kmers.py                             # makes its own reads, of a genome of 20,000 bases
    python examples/kmers.py --reads reads.fastq.gz      # FASTA or FASTQ, packed or not; "-" is standard input
    python examples/kmers.py --check                     # and compares with a plain loop

                   +-> count ----+
    reads -> trim -|             |-> merge (here)
                   +-> measure --+

The file is read lazily, in batches of records. ``trim``, ``count`` and ``measure`` share the processes of one IMap.
"""

import argparse
import gzip
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TextIO

from numap import IMap
from papy import Dagger, DaggerError, Piper, PiperError, Worker

BATCH = 250  # records: some milliseconds of work, so that sending them costs little
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


class Read(NamedTuple):
    name: str
    bases: str
    quality: str = ""  # one character for each base, as FASTQ has it; empty in FASTA


class Trimmed(NamedTuple):
    """What is left of a batch."""

    reads: list[Read]
    before: int  # how many there were


class Measures(NamedTuple):
    reads: int
    kept: int
    bases: int
    gc: int  # how many of these are G or C


# Functions.


def parse(file: Iterable[str]) -> Iterator[Read]:
    """The records of a FASTA or FASTQ file; a ValueError names what is wrong, and where."""
    lines = (line.rstrip() for line in file)
    name, bases = "", []
    for line in lines:
        if line.startswith("@") and not name:
            sequence, plus, quality = next(lines, ""), next(lines, ""), next(lines, "")
            if not plus.startswith("+") or len(sequence) != len(quality):
                raise ValueError(f"record {line} is no FASTQ, or is cut off")
            yield Read(line[1:], sequence.upper(), quality)
        elif line.startswith(">"):
            if name:
                yield Read(name, "".join(bases))
            name, bases = line[1:], []
        elif line and not name:
            raise ValueError(f"this line is neither FASTA nor FASTQ: {line[:40]!r}")
        else:
            bases.append(line.upper())
    if name:
        yield Read(name, "".join(bases))


def batches(reads: Iterator[Read]) -> Iterator[list[Read]]:
    while batch := list(islice(reads, BATCH)):
        yield batch


def trim(batch: list[Read], least: int, length: int) -> Trimmed:
    """Cut off what is bad at the end of each read, and drop reads of which too little is left."""
    kept = []
    for read in batch:
        end = len(read.bases)
        while read.quality and end and ord(read.quality[end - 1]) - 33 < least:
            end -= 1
        if end >= length:
            kept.append(Read(read.name, read.bases[:end], read.quality[:end]))
    return Trimmed(kept, len(batch))


def count(trimmed: Trimmed, k: int) -> Counter[str]:
    """Count the k-mers; one and its reverse complement are the same, as a read may come from either strand."""
    counts: Counter[str] = Counter()
    for read in trimmed.reads:
        forward = read.bases
        backward = forward.translate(COMPLEMENT)[::-1]
        last = len(forward) - k
        for i in range(last + 1):
            one, other = forward[i : i + k], backward[last - i : last - i + k]
            if "N" not in one:
                counts[min(one, other)] += 1
    return counts


def measure(trimmed: Trimmed) -> Measures:
    bases = sum(len(read.bases) for read in trimmed.reads)
    gc = sum(read.bases.count("G") + read.bases.count("C") for read in trimmed.reads)
    return Measures(trimmed.before, len(trimmed.reads), bases, gc)


def both(counts: Counter[str], measures: Measures) -> tuple[Counter[str], Measures]:
    return counts, measures


# Topology: the same for every kind of workers.


def pipeline(pool: IMap[Any], k: int, least: int, length: int) -> Dagger:
    trimmer = Piper(Worker(trim, (least, length), unpack=True), parallel=pool, name="trim")
    counter = Piper(Worker(count, (k,), unpack=True), parallel=pool, name="count")
    measurer = Piper(measure, parallel=pool, unpack=True, name="measure")
    joiner = Piper(both, unpack=True, name="both")
    return Dagger(pipes=[(trimmer, counter, joiner), (trimmer, measurer, joiner)])


def merge(results: Iterable[tuple[Counter[str], Measures]]) -> tuple[Counter[str], Measures]:
    counts: Counter[str] = Counter()
    total = Measures(0, 0, 0, 0)
    for some, measures in results:
        if isinstance(some, PiperError):
            raise some
        counts.update(some)
        total = Measures(*map(sum, zip(total, measures, strict=True)))
    return counts, total


def in_a_loop(reads: Iterator[Read], k: int, least: int, length: int) -> tuple[Counter[str], Measures]:
    """The same without a pipeline."""
    return merge((count(it, k), measure(it)) for it in (trim(batch, least, length) for batch in batches(reads)))


# Data.


def opened(name: str) -> TextIO:
    if name == "-":
        return sys.stdin
    return gzip.open(name, "rt") if name.endswith(".gz") else open(name)


def simulate(path: Path, size: int, coverage: int, length: int = 100) -> None:
    """Write reads of a random genome: from both strands, with errors where the quality is low, as it is at the end."""
    chance = random.Random(1)
    genome = "".join(chance.choices("ACGT", k=size))
    with gzip.open(path, "wt") as file:
        for number in range(size * coverage // length):
            start = chance.randrange(size - length)
            bases = list(genome[start : start + length])
            if chance.random() < 0.5:
                bases = list("".join(bases).translate(COMPLEMENT)[::-1])
            good, worst = chance.randrange(-60, length), chance.randrange(2, 38)
            scores = [38 - (38 - worst) * max(0, i - good) // (length - good) for i in range(length)]
            for i, score in enumerate(scores):
                if chance.random() < 10 ** (-score / 10):
                    bases[i] = chance.choice("ACGTN")
            quality = "".join(chr(score + 33) for score in scores)
            file.write(f"@read{number}\n{''.join(bases)}\n+\n{quality}\n")


# Results.


def report(counts: Counter[str], total: Measures, k: int) -> None:
    print(
        f"{total.kept:,} of {total.reads:,} reads are good, {total.bases:,} bases, {total.gc / total.bases:.1%} G or C"
    )
    spectrum = Counter(counts.values())
    print(f"{len(counts):,} different {k}-mers; how many of them were seen how often:")
    widest = max(spectrum.values())
    for times in range(1, min(40, max(spectrum)) + 1):
        print(f"{times:5} {spectrum[times]:7,} {'#' * round(60 * spectrum[times] / widest)}")
    # What was seen once or twice is mostly errors. Each of the others begins at a place of its own in the genome.
    size = sum(number for times, number in spectrum.items() if times > 3)
    depth = sum(times * number for times, number in spectrum.items() if times > 3) / max(1, size)
    print(f"the genome is covered some {depth:.0f} times, and has about {size:,} bases")


def main() -> None:
    parser = argparse.ArgumentParser(description="Count k-mers in parallel.")
    parser.add_argument("--reads", help="FASTA or FASTQ (default: simulated reads)")
    parser.add_argument("--size", type=int, default=20_000, help="bases of the simulated genome")
    parser.add_argument("-k", type=int, default=21, help="length of a k-mer")
    parser.add_argument("--least", type=int, default=20, help="the least quality of a base at the end of a read")
    parser.add_argument("--length", type=int, default=50, help="the least length of a read")
    parser.add_argument("--type", choices=["process", "thread", "serial"], default="process", help="kind of workers")
    parser.add_argument("--workers", type=int, help="how many (default: one for each CPU)")
    parser.add_argument("--check", action="store_true", help="compare with a plain loop")
    options = parser.parse_args()
    how = (options.k, options.least, options.length)

    with TemporaryDirectory() as directory:
        name = options.reads
        if name is None:
            name = f"{directory}/reads.fastq.gz"
            simulate(Path(name), options.size, coverage=20)
        pool: IMap[Any] = IMap(worker_type=options.type, worker_num=options.workers)
        try:
            with opened(name) as file:
                counts, total = merge(pipeline(pool, *how).results([batches(parse(file))]))
        except (OSError, DaggerError) as error:
            sys.exit(f"{name}: {error}")
        if not total.bases:
            sys.exit("no read is good enough")
        report(counts, total, options.k)
        if options.check:
            with opened(name) as file:
                same = in_a_loop(parse(file), *how) == (counts, total)
            print("a plain loop says the same" if same else "A PLAIN LOOP SAYS SOMETHING ELSE")
            sys.exit(not same)


main()
