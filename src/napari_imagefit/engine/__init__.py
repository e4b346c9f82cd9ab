"""Arrays in, arrays out: the trust-region fitter. It knows neither images nor napari.

JAX compiles the sums of a model over its samples, and nothing else that depends on the model; all other numerics are
formulas that run in NumPy for few fits and compiled for many. The packages, each of which imports those above it only:

- `core`: errors, statuses, options, types, devices, the store of programs
- `linalg`: small symmetric systems, the trust-region subproblem, matrices JᵀJ
- `functions`: parameters, formulas, values and derivatives
- `tracing`: functions of users as JAX traces them
- `models`: models, sums of models, ties, their predictions and starts
- `noise`: samples, noise models, losses, cameras
- `sums`: cost, gradient and JᵀJ over the samples
- `solver`: the trust-region method, bounds, covariance, flags
- `drive`: from a problem to results: loading, starts, the loop in two ways, threads, progress
- `shared`: parameters that fits have in common
- `results`: what comes back
- `scipy_api`, `osipy_api`: the interfaces of others
"""
