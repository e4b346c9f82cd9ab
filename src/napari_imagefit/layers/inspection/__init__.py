"""Single fits in the viewer: marks and pins, the fit under the pointer, reasons of failure, the spot table.

It may import `request` and `geometry`.
"""
