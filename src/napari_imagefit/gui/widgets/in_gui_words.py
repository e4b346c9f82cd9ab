"""Sentences of the engine in the words of the window: they name arguments, the window names controls."""

from __future__ import annotations

import re

# Whole phrases first; each pattern is replaced wherever it stands.
PHRASES: tuple[tuple[str, str], ...] = (
    (r"[fxg]tol=(\S+) is not a tolerance", r"the tolerance is \1"),
    (r"max_iterations must be", "the number of iterations must be"),
    (r"f_scale must be", "the outlier limit must be"),
    (r"noise='poisson' takes counts", "Poisson counts are numbers"),
    (r"noise='rician' takes magnitudes", "Rician magnitudes are numbers"),
    (
        r"give noise=Camera\(offset=\.\.\.\), or sigma",
        "choose 'Camera' as Noise and enter its offset, or 'Gaussian, known σ'",
    ),
    (r"give noise='gaussian' for signed data", "choose 'Gaussian' as Noise for signed data"),
    (r"noise='rician' needs sigma", "Rician noise needs σ"),
    (
        r"loss='(\w+)' is for Gaussian noise; leave it out, or give sigma instead",
        "outliers need Gaussian noise as Noise",
    ),
    (r"sigma and noise='poisson' \(or a camera\)", "σ and counts (or a camera)"),
    (r"noise_floor=(\S+) is not below saturation=([^\s,]+)", r"the noise floor \1 is not below the saturation \2"),
    (r"is below min_signal; lower it", "is below 'Min. signal'; lower it"),
    (r"window=\(?([\d, ]+?),?\)? has", r"the window \1 has"),
    (r"or use fit_image for a whole plane", "or choose the job Region for a whole plane"),
    (r"groups=(\S+) is no number of spots to be fitted together", r"the most spots of one group is \1"),
    (r"leave groups out, or (those|give a mask of the image)", "untick 'Fit neighbours together'"),
    (r"leave groups out", "untick 'Fit neighbours together'"),
    (r"leave background='sloping' out for it", "choose the background 'constant' for it"),
    (
        r"saturation=(\S+) is no value of a pixel; give a number, or None",
        r"the saturation is \1; type a number, or nothing",
    ),
    (r"bounds_factor=(\S+) leaves no room", r"the factor of the bounds, \1, leaves no room"),
    (r"choose style='imagefit'", "choose the ending .spots.csv"),
    (r"units=(\S+) is no length", r"the layer's unit \1 is no length"),
    (r"give pixel_size in 'nm' or 'µm'", "set the layer's units to nm or µm"),
    (
        r"was fitted with loss=('\w+'), which is no likelihood",
        r"was fitted with outliers as \1, which is no likelihood",
    ),
    (r"undecided=(\S+) is no difference", r"the limit \1 is no difference"),
    (r"'shared' out", "the ticks at Share out"),
    (r"leave shared out", "untick Share"),
    (r"leave resume out", "fit all again"),
    (r"fit_image takes surfaces, use fit_voxels for curves", "choose the job Voxels for curves"),
    (r"fit_spots takes surfaces, use fit_voxels for curves", "choose the job Voxels for curves"),
    (r"fit_voxels takes curves, use fit_image", "choose the job Region for surfaces"),
    (r"unknown device (\S+); use 'cpu' or 'gpu'", r"there is no device \1; choose another in Options"),
    (r"write a table, as csv", "choose a table, .csv"),
    # not a parameter of that name
    (r"\bsigma (has the value|is \S+, which|holds|has shape)", r"σ \1"),
    (r"\bgive data and sigma in", "give data and σ in"),
)
# What is left of arguments.
NAMES = {
    "sigma": "σ",
    "noise": "the noise",
    "loss": "the treatment of outliers",
    "min_signal": "the minimum signal",
    "noise_floor": "the noise floor",
    "pixel_size": "the size of a pixel",
    "min_distance": "the least distance",
    "dtype": "the precision",
}
ARGUMENT = re.compile(r"(?<!['\w])([a-z]+(?:_[a-z]+)*)=(?=\S)")
LONE = re.compile(rf"(?<![\w'\"`=])({'|'.join(name for name in NAMES if '_' in name)})(?![\w'\"`=])")


def in_gui_words(sentence: str) -> str:
    """Return a sentence that names controls instead of arguments, and begins with a capital letter.

    Examples
    --------
    >>> in_gui_words("ftol=2.0 is not a tolerance; give a number from 0 to below 1, such as 1e-8")
    'The tolerance is 2.0; give a number from 0 to below 1, such as 1e-8'
    """
    words = sentence
    for pattern, instead in PHRASES:
        words = re.sub(pattern, instead, words)
    words = ARGUMENT.sub(lambda found: f"{NAMES.get(found[1], found[1].replace('_', ' '))} ", words)
    words = LONE.sub(lambda found: NAMES[found[1]], words)
    return words[:1].upper() + words[1:]
