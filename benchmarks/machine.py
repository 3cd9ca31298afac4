"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def facts() -> dict[str, str]:
    """Processor, memory, system and interpreter, without the name of the machine."""
    return {
        "processor": _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "CPUs": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": _line("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _line(path: str, key: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
    found = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(key)]
    return found[0] if found else ""
