"""Small symmetric systems, many at a time: LDLᵀ, trust-region subproblem, matrices JᵀJ, linear least squares.

Vectors and matrices are tuples of separate arrays ``(B,)``, one for each element: a compiler makes a few vectorised
loops of them, and NumPy, or plain numbers for a single fit, compute the same bits with nothing to compile. It imports
`core` only.
"""
