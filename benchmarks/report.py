"""Tables and plots of figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
        entry["workload"],
        title,
        entry["peer"],
        f"{figures} {workload.unit}"[:40],
        ratios,
        _death_event(workload, entry),
    ).rstrip()


def _death_event(workload: Workload, entry: dict[str, Any]) -> str:
    if workload.reach is None or entry["peer"] != "numap":
        return ""
    value = entry.get("ratio", entry["median"])
    reached = value <= workload.reach if workload.at_most else value >= workload.reach
    return f"{'<=' if workload.at_most else '>='} {workload.reach:g}: {'yes' if reached else 'no'}"


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def plot(entries: list[dict[str, Any]], path: Path) -> bool:
    """Bars of the ratios to the baseline, one panel for each workload that has several; False: no matplotlib."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return False
    matplotlib.use("svg")
    from matplotlib import pyplot

    panels: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        if "ratio" in entry and isinstance(WORKLOADS[entry["workload"]].baseline, str):
            panels.setdefault(entry["workload"], []).append(entry)
    panels = {key: bars for key, bars in panels.items() if len(bars) > 1}
    if not panels:
        return False
    height = sum(len(bars) + 2 for bars in panels.values())
    figure, axes = pyplot.subplots(
        len(panels),
        1,
        figsize=(8, 0.24 * height),
        squeeze=False,
        gridspec_kw={"height_ratios": [len(bars) + 1 for bars in panels.values()]},
    )
    for axis, (key, bars) in zip(axes[:, 0], panels.items(), strict=True):
        bars = sorted(bars, key=lambda entry: entry["ratio"])
        colours = ["tab:orange" if entry["peer"] == "numap" else "tab:blue" for entry in bars]
        axis.barh([entry["peer"] for entry in bars], [entry["ratio"] for entry in bars], color=colours)
        axis.set_xscale("log")
        axis.axvline(1, color="black", linewidth=0.8)
        axis.tick_params(labelsize=7)
        workload = WORKLOADS[key]
        axis.set_title(f"{key}: {workload.title}, times {workload.baseline}", fontsize=8, loc="left")
    figure.tight_layout()
    figure.savefig(path)
    return True
