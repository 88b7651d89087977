"""Models that compute with the errors of 8 bits while they are trained."""
