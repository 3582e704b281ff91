"""The pipeline language: from a text to calls, from calls to layers with their arguments checked, and back to a text.

It may import ``layers`` and ``weights``.
"""
