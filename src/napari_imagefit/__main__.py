"""The command line: ``napari-imagefit demo`` and ``napari-imagefit models``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Interactive least-squares fitting of images in napari.", no_args_is_help=True, add_completion=False
)


@app.command()
def demo(
    screenshot: Annotated[
        Path | None, typer.Option(help="Save a picture of the window to this file and exit; needs no one watching.")
    ] = None,
) -> None:
    """Open napari on a sample of cold-atom clouds and fit it."""
    from .gui.demo import run_demo

    try:
        message = run_demo(screenshot)
    except ImportError as error:
        typer.echo(
            f"napari cannot open a window: {error}. Install a Qt binding: pip install 'napari-imagefit[demo]'", err=True
        )
        raise typer.Exit(1) from error
    if message:
        typer.echo(message)


@app.command(name="models")
def list_models() -> None:
    """List the models with their parameters and formulas."""
    from .catalogue import models

    for model in models.values():
        typer.echo(f"{model.name}({', '.join(model.names)})\n    {model.formula}")


def main() -> None:
    """Entry point of the ``napari-imagefit`` command."""
    app()


if __name__ == "__main__":
    main()
