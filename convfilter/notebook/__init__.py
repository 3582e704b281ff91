"""Pipelines as Python objects: shown in a notebook, applied to pictures and arrays, and made of an ``nn.Sequential``.

It may import all but ``cli`` and ``report``. Where it is imported, torch and Pillow are not: methods load them.
"""
