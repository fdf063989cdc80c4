"""Faster forms of what the networks compute, for CPUs; each equals the plain form to rounding.

Every choice between the two asks `fast_on_cpu`, and `plain` turns all fast forms off.
"""

from samkit.nn.fast.switch import fast_on_cpu, plain

__all__ = ["fast_on_cpu", "plain"]
