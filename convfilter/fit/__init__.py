"""Learning a pipeline's weights from pictures before and after, and writing them to a file.

It may import ``run`` and what that may.
"""
