"""Published least-squares problems, which the tests and docs/make_evaluations.py share."""
