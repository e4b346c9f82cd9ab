"""The commands of README and documentation, run as they are printed, in an environment of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zarr

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"(pip install|napari-imagefit) ")
# Names of commands in the midst of a sentence; what they say exists is looked up in their help.
NAMES = {"napari-imagefit run", "napari-imagefit run --scheduler"}
ADDRESS = re.compile(r"tcp://[\d.]+:\d+")


def printed_commands() -> list[str]:
    """Those in blocks for a shell and between backticks, the README's first."""
    found: dict[str, None] = {}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        found |= {line.strip(): None for line in (*lines, *inline) if COMMAND.match(line.strip())}
    return list(found)


def test_commands_are_found() -> None:
    found = printed_commands()
    assert 'pip install ".[demo]"' in found
    assert "napari-imagefit demo" in found
    assert set(found) > NAMES
    assert sum(ADDRESS.search(command) is not None for command in found) == 1


class Shell:
    """A folder with a copy of what a clone holds, and a new environment whose commands come first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode != 0:
            pytest.skip("this is no checkout of the repository")
        for name in listed.stdout.split("\0"):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name)
        venv.create(folder / "env", with_pip=True)
        own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        path = f"{folder / 'env' / 'bin'}{os.pathsep}{own['PATH']}"
        self.env = own | {"PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=True, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=900, check=False
        )

    @contextmanager
    def beside(self, command: str, **options: int) -> Iterator[subprocess.Popen[str]]:
        """Something that runs until the end of the context."""
        with subprocess.Popen(command.split(), cwd=self.folder, env=self.env, text=True, **options) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    if sys.platform == "win32":
        pytest.skip("the commands are looked for in bin")
    made = Shell(tmp_path)
    asked = made.run("pip download --no-deps --dest index hatchling")
    if asked.returncode != 0:
        pytest.skip(f"there is no package index: {asked.stderr.strip().splitlines()[-1]}")
    yield made
    shutil.rmtree(tmp_path)  # more than a gigabyte


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def check_window(shell: Shell, command: str) -> None:
    """The window stays open: nobody closes it."""
    with shell.beside(command, stderr=subprocess.PIPE) as process:
        time.sleep(30)
        ended = process.poll()
        process.kill()
        assert ended is None, process.communicate()[1]


def check_run(shell: Shell, command: str) -> None:
    """With the recipe of the same page, and data that go with it."""
    page = (ROOT / "docs" / "large-data.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (shell.folder / "recipe.json").write_text(recipe)
    times = np.array([5.0, 10, 15, 20])[:, None, None]
    decays = 900 * np.exp(-times / np.linspace(8, 20, 12).reshape(3, 4))
    zarr.create_array(str(shell.folder / "decays.zarr"), data=decays.round(3), overwrite=True)
    shutil.rmtree(shell.folder / "results.zarr", ignore_errors=True)
    done = shell.run(command)
    assert done.returncode == 0, done.stderr
    assert "4 fits · 4 converged" in done.stderr


def check_run_on_cluster(shell: Shell, command: str) -> None:
    """The address is another one."""
    told = shell.folder / "scheduler.json"
    start = "python -m distributed.cli.dask_{} --host 127.0.0.1 --no-dashboard --scheduler-file scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with shell.beside(start.format("scheduler") + " --port 0", **quiet):
        wait_until(lambda: told.exists() and told.read_text().rstrip().endswith("}"))
        (address,) = set(ADDRESS.findall(told.read_text()))
        with shell.beside(start.format("worker") + " --nthreads 1 --no-nanny", **quiet):
            check_run(shell, ADDRESS.sub(address, command))


# minutes: a gigabyte is downloaded and unpacked
@pytest.mark.slow
def test_printed_commands_work(shell: Shell) -> None:
    commands = [command for command in printed_commands() if command not in NAMES]
    for command in [c for c in commands if c.startswith("pip")]:
        done = shell.run(command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    checks = {"napari-imagefit demo": check_window, "napari-imagefit run": check_run}
    for command in [c for c in commands if not c.startswith("pip")]:
        if ADDRESS.search(command):
            check_run_on_cluster(shell, command)
        elif check := checks.get(" ".join(command.split()[:2])):
            check(shell, command)
        else:
            done = shell.run(command)
            assert done.returncode == 0, f"{command}: {done.stderr}"
    assert "--scheduler" in shell.run("COLUMNS=200 napari-imagefit run --help").stdout
