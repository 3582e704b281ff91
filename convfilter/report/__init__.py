"""One self-contained web page: a picture layer by layer, with the arithmetic of every pixel, and its JavaScript.

It may import ``run`` and what that may.
"""
