"""The ``napari-imagefit`` command."""

from __future__ import annotations

from .command_line.interrupt import Interrupt, leave_quietly


def main() -> None:
    """Entry point of the ``napari-imagefit`` command."""
    with Interrupt():
        # what reads the command line may take a second to import
        from .command_line.app import app
    try:
        app()
    finally:
        leave_quietly()


if __name__ == "__main__":
    main()
