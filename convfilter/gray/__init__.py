"""How floats become gray levels, and what float32's rounding can do to a channel whose input is constant.

It may import ``language`` and ``layers``.
"""
