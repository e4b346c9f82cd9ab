"""Each peer in a process of its own: some set JAX's precision for all, and memory is told apart."""

from __future__ import annotations

import gc
import os
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import peers
from .problems import Key, problem

ENVIRONMENT = {
    # compiling is shown apart, and nobody is to find it done by an earlier run
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "NAPARI_IMAGEFIT_CACHE": "off",
    # several processes share one GPU
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # sources are compiled once, not by each process
    "PYTHONDONTWRITEBYTECODE": "",
}
PATIENCE = 180.0  # seconds after which a call is given up: none is begun that should take more than two minutes


class PeerError(Exception):
    """What a peer died of, in a sentence."""


@dataclass(frozen=True, eq=False)
class Call:
    """One measured call."""

    seconds: float
    answer: NDArray[np.float64]
    peak: int | None  # bytes of resident memory above those before the call


class Worker:
    """A peer's process."""

    def __init__(self, which: str, folder: Path, *, left_out: bool = False) -> None:
        self.which = which
        self.peer = peers.make(which)
        self._folder = folder
        self.missing: str | None = None
        self._process: Any = None
        if left_out:
            self.missing = "not run: a quick run leaves it out"
        else:
            self.start()

    def start(self) -> None:
        """Start the process, again if it runs; without one, `missing` says why."""
        self.stop()
        os.environ.update(ENVIRONMENT)
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, self.which, self._folder))
        self._process.start()
        other.close()
        try:
            reason = self._receive(PATIENCE)
        except PeerError as error:
            reason = str(error)
        self.missing = reason and f"missing: {reason}"

    def fit(self, key: Key) -> Call:
        """Fit the problem, in its process.

        Raises
        ------
        PeerError
            If it failed, took too long, or its process died.
        """
        self._pipe.send(key)
        call = self._receive(PATIENCE)
        assert isinstance(call, Call)
        return call

    def _receive(self, patience: float) -> Any:
        try:
            if not self._pipe.poll(patience):
                self.stop(kill=True)
                raise PeerError(f"stopped after {patience:.0f} s")
            said = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            raise PeerError(f"its process died (exit code {code}{', killed: memory?' if code == -9 else ''})") from None
        if isinstance(said, Exception):
            raise PeerError(str(said))
        return said

    def stop(self, *, kill: bool = False) -> None:
        """End the process."""
        if self._process is None:
            return
        with suppress(OSError):
            self._pipe.send(None)
        self._process.join(0 if kill else 10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process = None


def _serve(pipe: Connection, which: str, folder: Path) -> None:
    try:
        peer = peers.make(which)
        reason = peer.missing()
        if reason is None:
            peer.prepare()
        pipe.send(reason)
    except Exception as error:  # noqa: BLE001 -- whatever a peer's import brings
        pipe.send(_sentence(error))
        return
    loaded: Key | None = None
    while (key := pipe.recv()) is not None:
        try:
            if key != loaded:
                peer.load(problem(key, folder).first(peer.most))
                loaded = key
            pipe.send(_call(peer))
        except Exception as error:  # noqa: BLE001
            traceback.print_exc()
            pipe.send(_sentence(error))
    peer.close()


def _sentence(error: Exception) -> PeerError:
    first = (str(error).strip().splitlines() or [""])[0]
    return PeerError(f"{type(error).__name__}: {first}"[:160])


def _call(peer: peers.Peer) -> Call:
    gc.collect()
    before = _reset_peak()
    begun = time.perf_counter()
    fitted = peer.fit()
    seconds = time.perf_counter() - begun
    peak = None if before is None else max(0, (_status("VmHWM") or 0) - before)
    return Call(seconds, np.asarray(peer.answer(fitted), dtype=float), peak)


def _status(name: str) -> int | None:
    """A size from Linux's account of this process."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def _reset_peak() -> int | None:
    """Resident memory now, from which on its peak is counted again."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")
