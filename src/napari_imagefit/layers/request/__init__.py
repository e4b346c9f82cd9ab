"""From the layers and choices on screen to a request of plain arrays that a worker thread can fit.

It may import `geometry`.
"""
