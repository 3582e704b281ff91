"""What learners and other libraries call what is here under another name, or is not here: what to write instead."""

from collections.abc import Mapping

_NO_LAYER = "PyTorch has no layer for it"
_IMAGE_TO_VECTOR = "the output must stay an image: stop before it"
_LOSS = "it compares an output with what it should be; 'convfilter fit' learns weights in this way"
_PRINTED = "write the network as PyTorch prints it, with --weights FILE; see 'convfilter help weights'"
_ONE_PATH = "a pipeline has one path, from each layer to the next"

# By the name in lower case, without what stands before its last dot.
HINTS: Mapping[str, str] = {
    **dict.fromkeys(["x", "input", "image", "img", "picture"], "leave it out: the first layer takes the picture"),
    "swish": "write SiLU",
    "abs": "write Magnitude, which of one channel is the absolute value",
    "square": _NO_LAYER,
    "sqrt": _NO_LAYER,
    "conv": "write Conv2d",
    "convolution": "write Conv2d",
    "convolution2d": "write Conv2d",
    "conv2dtranspose": "write ConvTranspose2d",
    "deconv": "write ConvTranspose2d",
    "depthwiseconv2d": "write Conv2d with groups= as many as in_channels, or Filter2d",
    "separableconv2d": "write Conv2d with groups= as many as in_channels, then | and a Conv2d of kernel_size 1",
    "pool": "write MaxPool2d or AvgPool2d",
    "pooling": "write MaxPool2d or AvgPool2d",
    "globalaveragepooling2d": "write AdaptiveAvgPool2d(1)",
    "globalavgpool": "write AdaptiveAvgPool2d(1)",
    "globalmaxpooling2d": "write AdaptiveMaxPool2d(1)",
    "batchnormalization": "write BatchNorm2d",
    "layernormalization": "write LayerNorm",
    "upsampling2d": "write Upsample(scale_factor=2)",
    "zeropadding2d": "write ZeroPad2d",
    "activation": "write the activation's own name, such as ReLU",
    "resize": "write Upsample(size=(height, width)), or a pooling layer to make it smaller",
    "crop": "write ZeroPad2d with negative sides, such as ZeroPad2d(-10)",
    "centercrop": "write ZeroPad2d with negative sides, such as ZeroPad2d(-10)",
    "cropping2d": "write ZeroPad2d with negative sides, such as ZeroPad2d(-10)",
    "grayscale": "leave it out: pictures are loaded as grayscale, unless --mode RGB is given",
    "rgb2gray": "leave it out: pictures are loaded as grayscale, unless --mode RGB is given",
    "totensor": "leave it out: pictures are loaded as tensors; --white 1 gives values from 0 to 1",
    "normalize": "leave it out, and give --mean and --std",
    "rescaling": "leave it out, and give --white 1 for values from 0 to 1",
    "rotate": _NO_LAYER,
    "median": _NO_LAYER,
    "medianblur": _NO_LAYER,
    "canny": f"{_NO_LAYER}; sobel is the gradient that it begins with",
    "threshold2d": "write Threshold(threshold, value)",
    "gaussianblur": "write blur(sigma=1)",
    "gaussian_blur": "write blur(sigma=1)",
    "edge_detect": "write edge",
    "edge_detection": "write edge",
    "edgedetection": "write edge",
    "dense": _IMAGE_TO_VECTOR,
    "linear": _IMAGE_TO_VECTOR,
    "flatten": _IMAGE_TO_VECTOR,
    "view": _IMAGE_TO_VECTOR,
    "reshape": _IMAGE_TO_VECTOR,
    "fc": _IMAGE_TO_VECTOR,
    "add": _ONE_PATH,
    "cat": _ONE_PATH,
    "concat": _ONE_PATH,
    "concatenate": _ONE_PATH,
    "residual": _ONE_PATH,
    "crossentropyloss": _LOSS,
    "mseloss": _LOSS,
    "l1loss": _LOSS,
    **dict.fromkeys(["resnet", "resnet18", "resnet34", "resnet50"], _PRINTED),
    **dict.fromkeys(["vgg", "vgg11", "vgg16", "vgg19", "alexnet", "mobilenet_v2", "squeezenet1_0"], _PRINTED),
}

# Of a layer, for an argument that it has not.
ARGUMENTS: Mapping[str, str] = {
    "filters": "did you mean out_channels?",
    "activation": "an activation is a layer of its own, such as | ReLU",
    "input_shape": "leave it out: the picture says its size",
    "radius": "did you mean sigma?",
    "kernel_size": "did you mean size?",
    "ksize": "did you mean size?",
    "k": "did you mean size?",
}
