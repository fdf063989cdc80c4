"""Faster forms of what the networks compute, for CPUs; each equals the plain form to rounding.

Every choice between the two asks `switch.fast_on_cpu`.
"""
