"""Arrays in, arrays out: the trust-region fitter. It knows neither images nor napari."""
