"""A guided tour of the tutorial, for a learner who does not know the field."""

from convfilter.language.pipeline import Pipeline
from convfilter.layers.shapes import Shape, Window


def introduce(pipeline: Pipeline, shape: Shape) -> list[tuple[str, str]]:
    """Return a guided tour of a preset, as headings with their texts; an empty list for any other pipeline.

    ``shape`` (C, H, W) is that of the picture.

    >>> from convfilter import parse
    >>> [heading for heading, text in introduce(parse("tutorial"), (1, 512, 512))]
    ['508 rows of 512', 'Bright edges', 'The random second channel', 'What to try here']
    """
    if pipeline.name not in ("edge", "tutorial") or len(pipeline.layers) != 1:
        return []
    rows = pipeline.layers[0].effect.rows
    if not isinstance(rows, Window) or (rows.stride, rows.dilation, rows.before, rows.after) != (1, 1, 0, 0):
        return []
    return _tour(rows.size, shape[1], second=pipeline.name == "tutorial")


def _tour(k: int, height: int, *, second: bool) -> list[tuple[str, str]]:
    size, centre = f"{k}×{k}", k * k - 1
    tour = [
        (
            f"{height - k + 1} rows of {height}",
            f"The window of {size} pixels must lie wholly inside the picture, because there is no padding. Its upper "
            f"edge can stand in row 0, 1, 2 and so on up to row {height - k}, which makes {height - k + 1} places: "
            f"{k // 2} rows are lost at either end, and as many columns.",
        ),
        (
            "Bright edges",
            f"The kernel's centre is {centre} and its {centre} neighbours are -1, so together they are 0. Where the "
            f"picture is even, {centre} times the centre less its {centre} neighbours is 0 too. Where the centre is "
            "brighter than what is around it the sum is large, where it is darker the sum is far below 0: at an "
            "edge, one side gives the one and the other side the other.",
        ),
    ]
    if second:
        tour.append(
            (
                "The random second channel",
                f"The layer has two kernels, and only the first one was set by hand. The other keeps the {k * k} "
                "small random numbers with which PyTorch starts every layer, before any training. Training would "
                "change them, little by little, into a pattern worth looking for; here you see where a network "
                "begins.",
            )
        )
    tour.append(
        (
            "What to try here",
            "Move over the output picture, or go into it with the Tab key and use the arrow keys. On an even "
            "wall or sky the sum stays near 0; cross an outline and watch it swing from one sign to the other.",
        )
    )
    return tour
