"""Simulated images, spots and phantoms with known parameters, for demos and tests.

It may import `regions`.
"""
