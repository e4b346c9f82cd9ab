"""Fits of Dask arrays: a plan of the pieces, tasks of a graph, and lazy results.

It may import the packages of the three jobs and what they may.
"""
