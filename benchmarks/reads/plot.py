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
    "obstore": "#6bbf59",
    "download": "#b0b7c3",
    "local": "#e3e6ea",
    "ancestor": "#d1495b",
}


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
        figure, axes = plt.subplots(figsize=(8, 0.75 * len(queries) + 1.2), layout="constrained")
        ways = [way for way in TITLES if any(case.way == way for case in found)]
        for number, way in enumerate(ways):
            _bars(axes, found, [query.name for query in queries], way, number / len(ways), network)
        axes.set_yticks(range(len(queries)), [query.title for query in queries])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel(f"milliseconds, cold, open included, {network_title(network)} for each request")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        figure.savefig(path, format="svg", metadata={"Date": None})
        plt.close(figure)


def _bars(
    axes: Axes,
    found: Mapping[Case, Figures],
    queries: list[str],
    way: str,
    place: float,
    network: Network,
) -> None:
    cases = [found.get(Case(query, "cold", way, network)) for query in queries]
    rows = [(y, case.seconds * 1000) for y, case in enumerate(cases) if case is not None]
    if not rows:
        return
    height = 0.8 / 5
    drawn: Any = axes.barh(
        [y - 0.4 + 0.8 * place + height / 2 for y, _ in rows],
        [milliseconds for _, milliseconds in rows],
        height=height,
        color=COLOURS[way],
        label=TITLES[way],
    )
    axes.bar_label(drawn, fmt="%.0f", padding=2, fontsize=7)
