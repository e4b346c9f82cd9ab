"""Recipes: a fit as an ordered pipeline of steps in JSON – prepare, fit, derive – that holds no code.

It may import `chunked`, the packages of the three jobs, and what they may.
"""
