"""Faster forms of what the networks compute, for CPUs; each equals the plain form to rounding."""
