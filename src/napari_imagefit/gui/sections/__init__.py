"""The sections of the fit dock, from data to results; each holds its controls and no numbers of a fit.

They may import `widgets` and `plots`.
"""
