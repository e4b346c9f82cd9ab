"""Functions of named parameters: what is known of the parameters, formulas from text, values and derivatives.

It imports `core` and `linalg` only.
"""
