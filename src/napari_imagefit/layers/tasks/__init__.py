"""Tasks that run on a click: freeze the request, fit it in a worker, follow-up fits, spot detection.

It may import `inspection`, `request` and `geometry`.
"""
