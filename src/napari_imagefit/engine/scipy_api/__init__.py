"""`curve_fit` and `CurveFit`: SciPy's arguments, errors and words on this engine.

It imports all of the engine but `osipy_api`.
"""
