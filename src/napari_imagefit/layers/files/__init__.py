"""Files from and to the viewer: exports, the reader of localisations, the fit as a Python script.

It may import the other packages of `layers`, but for `tasks`.
"""
