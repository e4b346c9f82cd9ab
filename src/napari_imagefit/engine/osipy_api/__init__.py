"""`TrustRegionFitter`: osipy's fitter interface on this engine, for bound models and for osipy's own objects.

It imports all of the engine but `scipy_api`.
"""
