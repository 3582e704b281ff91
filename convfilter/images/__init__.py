"""Picture files: telling formats apart, reading them as gray values, and writing PNGs.

It knows no pipeline and no output's name, and imports Pillow, numpy and zlib-ng.
"""
