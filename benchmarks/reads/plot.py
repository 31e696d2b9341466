"""The times of the cold queries as a picture that a README can show; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.reads.figures import Case, Figures, Network
from benchmarks.reads.queries import QUERIES
from benchmarks.reads.report import TITLES, network_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN: Network = (0.03, 0.0)
COLOURS = {
    "ours": "#0b6e4f",
    "download": "#b0b7c3",
    "local": "#e3e6ea",
    "ancestor": "#d1495b",
}

_HEIGHT = 0.24
"""Of a bar; the rows of the queries are 1 apart."""


def draw(found: Mapping[Case, Figures], path: Path, *, network: Network = SHOWN) -> None:
    """Write an SVG: for each query a bar for each way, cold, open included, on a logarithmic axis.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    queries = [query for query in QUERIES if Case(query.name, "cold", "ours", network) in found]
    # The same picture from the same figures: text as text, no date, no random ids.
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "reads", "font.size": 9}
    with mpl.rc_context(style):
        figure, axes = plt.subplots(figsize=(7.5, 0.55 * len(queries) + 1), layout="constrained")
        for way in TITLES:
            _bars(axes, found, [query.name for query in queries], way, network)
        axes.set_yticks(range(len(queries)), [query.title for query in queries])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.margins(x=0.08, y=0.01)
        axes.set_xlabel(f"milliseconds, cold, open included, {network_title(network)} for each request")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=len(TITLES))
        figure.savefig(path, format="svg", metadata={"Date": None})
        plt.close(figure)


def _bars(
    axes: Axes, found: Mapping[Case, Figures], queries: list[str], way: str, network: Network
) -> None:
    """The bars of one way, each beside those of the others that were asked the same."""
    places, milliseconds = [], []
    for row, query in enumerate(queries):
        asked = [other for other in TITLES if Case(query, "cold", other, network) in found]
        if way in asked:
            places.append(row + _HEIGHT * (asked.index(way) - (len(asked) - 1) / 2))
            milliseconds.append(found[Case(query, "cold", way, network)].seconds * 1000)
    if places:
        bars = axes.barh(places, milliseconds, _HEIGHT, color=COLOURS[way], label=TITLES[way])
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
