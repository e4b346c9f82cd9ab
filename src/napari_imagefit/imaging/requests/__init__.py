"""Requests of verbs: their arguments but for the data, frozen, checked once, and written as JSON and as Python.

It may import `fitting`.
"""
