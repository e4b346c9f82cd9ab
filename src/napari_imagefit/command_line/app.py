"""The command line: ``napari-imagefit demo``, ``napari-imagefit models`` and ``napari-imagefit run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .interrupt import Interrupt

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
    from ..engine.core.errors import FitInputError

    try:
        # a binding that is missing is noticed with the first import
        from ..gui.demo import run_demo

        message = run_demo(screenshot)
    except FitInputError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except ImportError as error:
        typer.echo(
            f'napari cannot open a window: {error}. Install a Qt binding: pip install "napari-imagefit[demo]"', err=True
        )
        raise typer.Exit(1) from error
    if message:
        typer.echo(message)


@app.command(name="models")
def list_models() -> None:
    """List the models with their parameters and formulas."""
    from ..catalogue import models

    for model in models.values():
        typer.echo(f"{model.name}({', '.join(model.names)})\n    {model.formula}")


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="JSON, as FitResult.recipe() gives it.", metavar="RECIPE.json")],
    data: Annotated[str, typer.Argument(help=".zarr, OME-Zarr, .tif, .npy, or FILE.h5::/dataset.", metavar="INPUT")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results, a Zarr group.")],
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask scheduler, such as tcp://10.0.0.1:8786.")
    ] = None,
    points: Annotated[
        Path | None, typer.Option(help="Where the spots of fit_spots are: .csv or .parquet, in pixel indices.")
    ] = None,
    fits_per_chunk: Annotated[
        int | None,
        typer.Option(min=1, help="Fits that are done, held in memory and written at a time; 131072 if not given."),
    ] = None,
) -> None:
    """Fit a file chunk by chunk; it need not fit into memory.

    The same command again goes on where it stopped.
    """
    with Interrupt() as interrupt:
        # this takes a second
        from ..engine.core.errors import FitEngineError, FitInputError
        from .run import run_recipe

        def say(text: str) -> None:
            typer.echo(text, err=True)

        try:
            run_recipe(recipe, data, output, scheduler, fits_per_chunk, say, points, interrupt)
        except (FitInputError, FitEngineError) as error:
            say(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
