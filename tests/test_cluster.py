"""`napari-imagefit run --scheduler`: a real scheduler and two worker processes, of which one is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import zarr
from dask import array as da
from distributed import Client

from napari_imagefit import Model, fit_voxels
from napari_imagefit.imaging.fitting.records import all_maps

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
T = np.linspace(0, 5, 16)
STACK = RNG.uniform(1, 3, (12, 30)) * np.exp(-T[:, None, None] / RNG.uniform(0.5, 2, (12, 30))) + 0.3
STACK += RNG.normal(0, 0.03, STACK.shape)


class Cluster:
    """A scheduler and workers, each a process."""

    def __init__(self, folder: Path) -> None:
        self.processes = ExitStack()
        told = folder / "scheduler.json"
        self.scheduler = self.start("dask_scheduler", "--port", "0", "--scheduler-file", str(told))
        wait_until(lambda: told.exists() and told.read_text().rstrip().endswith("}"))
        self.address: str = json.loads(told.read_text())["address"]
        self.workers = [
            self.start("dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
            for _ in range(2)
        ]

    def start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{what}", "--host", "127.0.0.1", "--no-dashboard"]
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end() -> None:
            process.kill()
            process.wait()

        self.processes.callback(end)
        return process


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    with made.processes:
        yield made


def test_a_killed_workers_chunks_are_done_again(cluster: Cluster, tmp_path: Path) -> None:
    stack = str(tmp_path / "stack.zarr")
    zarr.create_array(stack, data=STACK, chunks=(16, 4, 10))
    recipe, output = tmp_path / "recipe.json", tmp_path / "results"
    recipe.write_text(json.dumps({"verb": "fit_voxels", "model": "exponential_decay", "x": T.tolist()}))
    command = [sys.executable, "-m", "napari_imagefit", "run", str(recipe), stack, "-o", str(output)]
    command += ["--scheduler", cluster.address, "--fits-per-chunk", "3"]

    def finished() -> np.ndarray:
        try:
            return zarr.open_array(str(output / "finished_pieces"), mode="r")[:]
        except FileNotFoundError:  # its folder is made before what describes it
            return np.zeros(0, bool)

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: process.poll() is not None or finished().sum() >= 3)
            assert not finished().all()
            cluster.workers[0].kill()
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert finished().all()
    assert finished().size >= 100
    group = zarr.open_group(str(output), mode="r")
    for name, values in all_maps(fit_voxels(STACK, "exponential_decay", x=T)):
        np.testing.assert_array_equal(group[name][:], values, err_msg=name)


def test_a_killed_scheduler_is_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", STACK)
    recipe, output = tmp_path / "recipe.json", tmp_path / "results"
    recipe.write_text(json.dumps({"verb": "fit_voxels", "model": "exponential_decay", "x": T.tolist()}))
    command = [sys.executable, "-m", "napari_imagefit", "run", str(recipe), str(tmp_path / "stack.npy")]
    command += ["-o", str(output), "--fits-per-chunk", "3"]

    def some() -> bool:
        return len(list((output / "finished_pieces").glob("c/*"))) >= 3

    with subprocess.Popen([*command, "--scheduler", cluster.address], stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: process.poll() is not None or some())
            cluster.scheduler.kill()
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert f"the Dask scheduler at {cluster.address!r} is lost" in said

    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    tau = zarr.open_array(str(output / "params" / "tau"), mode="r")[:]
    np.testing.assert_array_equal(tau, fit_voxels(STACK, "exponential_decay", x=T).params["tau"])


def test_an_address_of_no_kind_is_a_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", STACK)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"verb": "fit_voxels", "model": "exponential_decay", "x": T.tolist()}))
    for number, address in enumerate(["nonsense://x", "tcp://:nowhere", ""]):
        command = [sys.executable, "-m", "napari_imagefit", "run", str(recipe), str(tmp_path / "stack.npy")]
        command += ["-o", str(tmp_path / f"out{number}"), "--scheduler", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 1, (address, done.stderr)
        assert "Traceback" not in done.stderr
        assert f"no Dask scheduler answers at {address!r}" in done.stderr


def test_lazy_results_on_a_cluster(cluster: Cluster) -> None:
    """A formula's model goes to the workers, too, and is compiled once in each."""
    decay = Model.from_expression("a*exp(-t/tau) + c", ["t"], bounds={"tau": (0, np.inf)})
    stack = da.from_array(STACK, chunks=(16, 4, 10))
    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        result = fit_voxels(stack, decay, x=T)
        tau = client.compute(result.params["tau"]).result()

        def compiled() -> int:
            from napari_imagefit.engine.core.programs import compiled_programs

            return compiled_programs()

        assert max(client.run(compiled).values()) < 20
    np.testing.assert_array_equal(tau, fit_voxels(STACK, decay, x=T).params["tau"])
