"""Tables and plots of figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from workloads import WORKLOADS, Workload

_LINE = "{:<5} {:<45} {:<25} {:>26}  {:>24}  {:>16}"


def table(entries: list[dict[str, Any]]) -> str:
    """A head, and a line for each entry."""
    head = _LINE.format("", "workload", "peer", "median (spread)", "ratio (spread)", "to reach")
    return "\n".join([head, "-" * len(head), *map(row, entries)])


def row(entry: dict[str, Any]) -> str:
    """One line."""
    workload = WORKLOADS[entry["workload"]]
    title = workload.title if entry["peer"] == "numap" else ""
    if "error" in entry:
        return _LINE.format(entry["workload"], title, entry["peer"], "-", "-", "") + f"   {entry['error']}"
    figures = f"{_short(entry['median'])} ({_short(entry['least'])} - {_short(entry['most'])})"
    ratios = ""
    if "ratio" in entry:
        ratios = f"{_short(entry['ratio'])} ({_short(entry['least_ratio'])} - {_short(entry['most_ratio'])})"
    return _LINE.format(
        entry["workload"], title, entry["peer"], f"{figures} {workload.unit}"[:40], ratios, _mark(workload, entry)
    ).rstrip()


def _mark(workload: Workload, entry: dict[str, Any]) -> str:
    if workload.reach is None or entry["peer"] != "numap":
        return ""
    value = entry.get("ratio", entry["median"])
    reached = value <= workload.reach if workload.at_most else value >= workload.reach
    return f"{'<=' if workload.at_most else '>='} {workload.reach:g}: {'yes' if reached else 'no'}"


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Standing(NamedTuple):
    """How numap does in a workload beside the fastest of its peers.

    Attributes:
        key: of the workload.
        ratio: how many times as good as that peer.
        peer: its name.
    """

    key: str
    ratio: float
    peer: str


def standings(entries: list[dict[str, Any]]) -> list[Standing]:
    """One for each workload that was measured beside others. Loops that are written for it alone are the machine, no peer."""
    found = []
    for key, workload in WORKLOADS.items():
        figures = {it["peer"]: it for it in entries if it["workload"] == key and "error" not in it}
        ours = figures.pop("numap", None)
        if ours is None:
            continue
        measure = "ratio" if isinstance(workload.baseline, str) else "median"
        others = {name: it[measure] for name, it in figures.items() if measure in it and not name.startswith("hand")}
        if isinstance(workload.baseline, str) and not workload.baseline.startswith(("hand", "ping")):
            others.setdefault(workload.baseline, 1.0)
        if not others or measure not in ours:
            continue
        best = (min if workload.at_most else max)(others, key=lambda name: others[name])
        ratio = others[best] / ours[measure] if workload.at_most else ours[measure] / others[best]
        found.append(Standing(key, ratio, best))
    return found


def plot(entries: list[dict[str, Any]], path: Path) -> bool:
    """One picture: for each workload how many times as good numap is as the best of its peers, from 1; False: no matplotlib."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return False
    matplotlib.use("svg")
    from matplotlib import pyplot

    found = standings(entries)[::-1]
    if not found:
        return False
    figure, axis = pyplot.subplots(figsize=(9, 0.3 * len(found) + 1.2))
    places = range(len(found))
    # On a logarithmic axis, and from 1: twice as fast and half as fast are bars of the same length.
    colours = ["tab:green" if it.ratio >= 1 else "tab:red" for it in found]
    axis.barh(places, [it.ratio - 1 for it in found], left=1, color=colours, height=0.6)
    axis.set_yticks(places, [f"{WORKLOADS[it.key].title}  {it.key}" for it in found], fontsize=7)
    for place, it in zip(places, found, strict=True):
        side = "left" if it.ratio >= 1 else "right"
        axis.annotate(
            f" {it.ratio:.2g} x {it.peer} ", (it.ratio, place), ha=side, va="center", fontsize=6, color="dimgray"
        )
    axis.set_xscale("log")
    furthest = max(max(it.ratio, 1 / it.ratio) for it in found) * 4
    axis.set_xlim(1 / furthest, furthest)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xlabel("times as good as the best peer in the same run (left of the line: worse)", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    for edge in ("top", "right", "left"):
        axis.spines[edge].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    return True
