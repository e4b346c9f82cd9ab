"""Measures napari-imagefit beside its peers; see `docs/performance.md`. ``python -m benchmarks --help``."""
