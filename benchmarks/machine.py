"""On what was measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DEVICES = """
import json, jax
devices = jax.devices()
print(json.dumps({"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)}))
"""
PACKAGES = ("jax", "numpy", "scipy", "napari", "PyQt6", "jaxfit", "nlsq", "osipy", "picassosr", "numba")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name, as far as the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def memory() -> int | None:
    """Bytes of main memory, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def device() -> dict[str, str | int]:
    """JAX's device. Asked in a process of its own, which holds no memory of a GPU afterwards."""
    said = subprocess.run([sys.executable, "-c", _DEVICES], capture_output=True, text=True, check=True)
    return dict(json.loads(said.stdout.strip().splitlines()[-1]))


def package(name: str) -> str | None:
    """Its version, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def describe() -> dict[str, object]:
    """Everything that a reader of the tables needs to know of the machine."""
    bytes_ = memory()
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_gib": None if bytes_ is None else round(bytes_ / 2**30),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "device": device(),
        "versions": {name: package(name) for name in PACKAGES if package(name)},
    }
