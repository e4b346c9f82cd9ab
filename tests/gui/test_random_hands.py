"""A minute in the hands of a child, in a process of its own: nothing is raised, nothing stands still."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HANDS = Path(__file__).with_name("random_hands.py")
# s; by hand it is 1: a busy machine is slower
HOLD_UP = 4


@pytest.mark.slow
def test_a_minute_of_random_hands(tmp_path: Path) -> None:
    told = tmp_path / "report.json"
    command = [sys.executable, str(HANDS), "--seed", "19", "--minutes", "1", "--hold-up", str(HOLD_UP)]
    ended = subprocess.run(
        [*command, "--report", str(told)], capture_output=True, text=True, timeout=1000, env=os.environ, check=False
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    report = json.loads(told.read_text(encoding="utf-8"))
    assert report["actions"] > 20
