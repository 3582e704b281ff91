"""The keys of the texts in a PNG that say how it was made, and of what."""

SOFTWARE = "Software"
PIPELINE = "convfilter:pipeline"
WEIGHTS = "convfilter:weights"  # their files, each with the SHA-256 of what it held
CHANNEL = "convfilter:channel"
SEED = "convfilter:seed"
BLACK = "convfilter:black"
WHITE = "convfilter:white"
SCALE = "convfilter:scale"
OPTIONS = "convfilter:options"
SOURCE = "convfilter:source"
FRAME = "convfilter:frame"
