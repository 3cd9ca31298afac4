"""Measures numap and papy beside other pools, and prints a table of medians, spreads and ratios.

Each measurement takes a process of its own, and each peer is measured in turn with the baseline, round by round: a ratio
is the median of the ratios of the rounds. Peers that are not installed are left out.

    python benchmarks/run.py [WORKLOAD ...] [--peers NAME,NAME] [--rounds N] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import facts
from peers import PEERS, installed
from report import plot, row, table
from workloads import WORKLOADS, figure

#: Seconds for one measurement.
LIMIT = 60


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        _measure(*sys.argv[2:4])
    arguments = _arguments()
    for name, value in facts().items():
        print(f"{name:12} {value}")
    print("\n" + table([]), flush=True)
    found: list[dict[str, Any]] = []
    for key in arguments.workloads or WORKLOADS:
        for name in _peers_of(key, arguments.peers):
            entry = _compare(key, name, arguments.rounds)
            found.append(entry)
            print(row(entry), flush=True)
    if arguments.output:
        folder = Path(arguments.output)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": facts(), "rounds": arguments.rounds, "figures": found}, indent=1)
        (folder / "figures.json").write_text(text, encoding="utf-8")
        (folder / "table.txt").write_text(table(found), encoding="utf-8")
        plot(found, folder / "ratios.svg")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--peers", help="only these, with commas between them; numap always")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", help="folder for figures.json, table.txt and ratios.svg")
    arguments = parser.parse_args()
    unknown = [key for key in arguments.workloads if key not in WORKLOADS]
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    return arguments


def _peers_of(key: str, wanted: str | None) -> list[str]:
    peers = ["numap", *WORKLOADS[key].peers]
    if wanted is not None:
        peers = [name for name in peers if name in {"numap", *wanted.split(",")}]
    return [name for name in peers if installed(name)]


def _compare(key: str, name: str, rounds: int) -> dict[str, Any]:
    """The figures of a peer and those of the baseline beside it."""
    baseline = WORKLOADS[key].baseline
    figures: list[float] = []
    ratios: list[float] = []
    try:
        for _ in range(rounds):
            base = _in_own_process(key, baseline) if isinstance(baseline, str) else baseline
            figures.append(_in_own_process(key, name))
            if base is not None:
                ratios.append(figures[-1] / base)
    except RuntimeError as error:
        return {"workload": key, "peer": name, "error": str(error)}
    entry: dict[str, Any] = {"workload": key, "peer": name, "median": statistics.median(figures)}
    entry |= {"least": min(figures), "most": max(figures)}
    if ratios:
        entry |= {"ratio": statistics.median(ratios), "least_ratio": min(ratios), "most_ratio": max(ratios)}
    return entry


def _in_own_process(key: str, name: str) -> float:
    command = [sys.executable, __file__, "--measure", key, name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True, text=True
    )
    try:
        said, complained = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no result within {LIMIT} s") from None
    finally:
        # Workers of those peers that leave some behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    try:
        return float(said.split()[-1])
    except (IndexError, ValueError):
        raise RuntimeError((complained.strip().splitlines() or ["it said nothing"])[-1][:200]) from None


def _measure(key: str, name: str) -> None:
    assert name in PEERS or name == "ping-pong"
    found = figure(key, name)
    print(f"\n{found}", flush=True)
    # Without the end of the interpreter: some peers never come to theirs while an input is endless.
    os._exit(0)


if __name__ == "__main__":
    main()
