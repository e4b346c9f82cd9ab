"""Request of a fit: the layers and choices on screen as plain arrays that a worker thread can fit.

It may import `geometry`.
"""
