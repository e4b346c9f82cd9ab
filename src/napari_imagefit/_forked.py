"""Whether this process was forked from one in which JAX had started.

Its threads are not copied, and whoever waits for them never returns. That can only be told when it happens, so this is
loaded with the package.
"""

from __future__ import annotations

import os
import sys

# Whether JAX has begun to compute for us.
started = False
# Whether it had, for us or for the user, in the process that this one was forked from.
from_started = False


def _look_back() -> None:
    global from_started
    bridge = sys.modules.get("jax._src.xla_bridge")
    from_started = from_started or started or bool(getattr(bridge, "_backends", None))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_look_back)
