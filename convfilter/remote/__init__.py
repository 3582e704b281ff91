"""Pictures behind URLs: in object stores, archives and on web servers, read and written through fsspec.

It may import ``images`` and ``files``, whose rules for names, order and collisions hold here too. fsspec is imported
when a URL is met, and not before.
"""
