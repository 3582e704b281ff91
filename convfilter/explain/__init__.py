"""What a pipeline does, layer by layer: sizes, costs, receptive fields, lessons, and the arithmetic behind a pixel.

It may import ``engine``; the layer table itself needs no torch.
"""
