"""What a run of the tests has cost: how many programs were compiled, and which files took longest.

A whole suite that compiles more programs than its budget fails: compiling is most of the time of such a run, and a test
that compiles what it need not makes everybody wait.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

# Programs that the fast tests (1159 in December 2026) and the slow ones (1148) may compile, counted over all workers.
BUDGET = {"not slow": 1200, "slow": 1200}
# Tests from which on a run is taken for a whole suite.
WHOLE = {"not slow": 2500, "slow": 400}
SHOWN = 8


class CostReport:
    """Of this process, or, where tests are shared out, of all workers."""

    def __init__(self) -> None:
        self.compiled, self.tests = 0, 0
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.split("::")[0]] += report.duration
        self.tests += report.when == "call"

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.compiled += getattr(node, "workeroutput", {}).get("compiled", 0)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Any:
        mine = _compiled_here()
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["compiled"] = mine
        found = yield
        self.compiled += mine
        if output is None and self._is_beyond(session.config) and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return found

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        longest = sorted(self.seconds.items(), key=lambda item: -item[1])[:SHOWN]
        terminalreporter.section("cost")
        for name, seconds in longest:
            terminalreporter.write_line(f"{seconds:7.1f} s  {Path(name).as_posix()}")
        terminalreporter.write_line(f"{self.compiled:7d} programs compiled")
        if self._is_beyond(config):
            most = BUDGET[config.option.markexpr]
            terminalreporter.write_line(f"That is more than the {most} that these tests may compile: see {__file__}")

    def _is_beyond(self, config: pytest.Config) -> bool:
        suite = config.option.markexpr
        return suite in BUDGET and self.tests >= WHOLE[suite] and self.compiled > BUDGET[suite]


def _compiled_here() -> int:
    programs = sys.modules.get("napari_imagefit.engine.core.programs")
    return 0 if programs is None else int(programs.compiled_programs())
