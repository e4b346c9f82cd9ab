"""Sentences of the engine in the words of the window: they name arguments, the window names controls."""

from __future__ import annotations

import re

# The control of an argument; others are named as they are, with spaces.
CONTROLS = {
    "ftol": "the tolerance",
    "gtol": "the tolerance",
    "xtol": "the tolerance",
    "max_iterations": "the number of iterations",
    "f_scale": "the outlier limit",
    "sigma": "σ",
    "noise": "the noise",
    "loss": "the treatment of outliers",
    "min_signal": "'Min. signal'",
    "noise_floor": "the noise floor",
    "saturation": "the saturation",
    "pixel_size": "the size of a pixel",
    "min_distance": "the least distance",
    "dtype": "the precision",
    "window": "the window",
    "groups": "the most spots of one group",
    "bounds_factor": "the factor of the bounds",
    "units": "the layer's unit",
    "undecided": "the limit",
}
# Of what has no control of its own name: data, and what to do. Longer phrases come before their parts.
PHRASES = {
    "noise='poisson' takes counts": "Poisson counts are numbers",
    "noise='rician' takes magnitudes": "Rician magnitudes are numbers",
    "noise='rician' needs sigma": "Rician noise needs σ",
    "sigma and noise='poisson' (or a camera)": "σ and counts (or a camera)",
    "give data and sigma in": "give data and σ in",
    "give noise=Camera(offset=...), or sigma": "choose 'Camera' as Noise and enter its offset, or 'Gaussian, known σ'",
    "give noise='gaussian' for signed data": "choose 'Gaussian' as Noise for signed data",
    "leave it out, or give sigma instead": "choose 'Gaussian' as Noise",
    "give a number, or None": "type a number, or nothing",
    "leave groups out, or those": "untick 'Fit neighbours together'",
    "leave groups out, or give a mask of the image": "untick 'Fit neighbours together'",
    "leave groups out": "untick 'Fit neighbours together'",
    "leave background='sloping' out for it": "choose the background 'constant' for it",
    "leave shared out": "untick Share",
    "leave resume out": "fit all again",
    "choose style='imagefit'": "choose the ending .spots.csv",
    "give pixel_size in 'nm' or 'µm'": "set the layer's units to nm or µm",
    "use 'cpu' or 'gpu'": "choose another in Options",
    "write a table, as csv": "choose a table, .csv",
    "or use fit_image for a whole plane": "or choose the job Region for a whole plane",
    "fit_image takes surfaces, use fit_voxels for curves": "choose the job Voxels for curves",
    "fit_spots takes surfaces, use fit_voxels for curves": "choose the job Voxels for curves",
    "fit_voxels takes curves, use fit_image": "choose the job Region for surfaces",
}
# an argument with its value; numbers lose the brackets of a tuple
ARGUMENT = re.compile(r"(?<!['\w])([a-z]+(?:_[a-z]+)*)=(?:\(([\d., ]+?),?\)|(?=\S))")
# a clause that tells no more than that the value of a control is wrong
WRONG = re.compile(rf"(?<!['\w])({'|'.join(CONTROLS)})=(\S+) is (?:no|not a) [^,;]*;")
LONE = re.compile(rf"(?<![\w'\"`=])({'|'.join(name for name in CONTROLS if '_' in name)})(?![\w'\"`=])")
# not a parameter of that name
SIGMA = re.compile(r"\bsigma (?=has the value|is \S+, which|holds|has shape)")


def in_gui_words(sentence: str) -> str:
    """Return a sentence that names controls instead of arguments, and begins with a capital letter.

    Examples
    --------
    >>> in_gui_words("ftol=2.0 is not a tolerance; give a number from 0 to below 1, such as 1e-8")
    'The tolerance is 2.0; give a number from 0 to below 1, such as 1e-8'
    """
    words = sentence
    for phrase, instead in PHRASES.items():
        words = words.replace(phrase, instead)
    words = SIGMA.sub("σ ", words)
    words = WRONG.sub(lambda found: f"{_control(found[1])} is {found[2]};", words)
    words = ARGUMENT.sub(lambda found: f"{_control(found[1])} {found[2] or ''}", words)
    words = LONE.sub(lambda found: CONTROLS[found[1]], words)
    return words[:1].upper() + words[1:]


def _control(argument: str) -> str:
    return CONTROLS.get(argument, argument.replace("_", " "))
