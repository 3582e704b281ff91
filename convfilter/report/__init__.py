"""One self-contained web page: a picture layer by layer, with the arithmetic of every pixel, and its JavaScript.

It may import ``run`` and what that may.

In Python, ``write`` reads the picture and writes the file; ``page`` makes the HTML from ``page.html.j2``, with
what fits (``plan``); ``values`` packs values, pictures and layers in numbers, ``scale`` gives pictures their colours,
``vocabulary`` is what the editor knows of the language, and ``scripts`` reads the JavaScript.

The JavaScript is one file a job; the page holds all of it, in this order, in two script elements. Those that a Web
Worker runs too need no page:

- ``axes.js``: which inputs an output pixel sees along an axis, and what each of them weighs.
- ``curves.js``: the functions behind the activations' formulas, which stand with the layers in ``convfilter/layers``.
- ``compute.js``: the layers' arithmetic on whole tensors.
- ``worker.js``: computes the layers of a pipeline that is edited.

Those that draw the page from a model of tensors and layers:

- ``values.js``: the model (``PAGE``), read from the page, and the value of any pixel of any layer.
- ``rules.js``: the arithmetic of every kind of layer for single pixels.
- ``numbers.js``: how numbers are written, here and on the page of a comparison.
- ``draw.js``: how numbers become visible: scales, colours, pictures as exact means, matrices, curves.
- ``sums.js``: the arithmetic behind one output pixel, written out.
- ``link.js``: the chosen pixel, and what belongs to it in every other layer.
- ``gradient.js``: the gradient of an output pixel with respect to the picture.
- ``bench.js``: the panel of a layer: input, sum, output.
- ``play.js``: the sliding window.
- ``page.js``: the strip, the sections that open and close, paper; ``showModel`` puts another model in place.

Those that edit the pipeline:

- ``random.js``: PyTorch's random numbers.
- ``pipeline.js``: pipelines as text and as layers, with shapes and errors.
- ``changes.js``: changes of a pipeline.
- ``code.js``: a pipeline as PyTorch code and as a command line.
- ``live.js``: the pipeline that is edited, its values, and its place in the page's address.
- ``edit.js``: the controls.
"""
