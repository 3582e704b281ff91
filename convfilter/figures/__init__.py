"""Figures: several gray pictures on one labelled sheet, as PNG or SVG or in a terminal.

What is drawn and how it is laid out belongs here; how floats become gray does not. It may import ``images``.
"""
