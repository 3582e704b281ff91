"""Files on disk: which of them are inputs, what outputs are called, and how outputs appear whole or not at all.

It may import ``images``; it knows no pipeline.
"""
