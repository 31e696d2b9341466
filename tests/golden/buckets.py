"""Two whole buckets of format 1 as the engine writes them, and the worked example of docs/format.md.

    python -m tests.golden.buckets

writes both anew, in ``v1_buckets/`` and in the document. As ``generate`` says: only until format 1 is
released. From then on these are the bytes that users have, and this command must not be used again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .example import images, objects_of_adoption, objects_of_example
from .render import rendered

FILES = Path(__file__).parent / "v1_buckets"
DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"
BEGIN = "<!-- the worked example begins: `python -m tests.golden.buckets` writes it -->\n"
END = "<!-- the worked example ends -->\n"

MAKERS: dict[str, Callable[[], dict[str, bytes]]] = {
    "example": objects_of_example,
    "adoption": objects_of_adoption,
}


def made(name: str) -> dict[str, object]:
    """What the engine writes today, as text: the objects by key, and the file of each version."""
    return {
        "objects": {key: data.hex() for key, data in MAKERS[name]().items()},
        "files": [image.hex() for image in images()],
    }


def kept(name: str) -> dict[str, object]:
    """What it wrote when format 1 was made."""
    found: dict[str, object] = json.loads((FILES / f"{name}.json").read_text())
    return found


def main() -> None:
    """Write both buckets and the document."""
    FILES.mkdir(exist_ok=True)
    for name in MAKERS:
        (FILES / f"{name}.json").write_text(json.dumps(made(name), indent=1) + "\n")
    before, begin, rest = DOCUMENT.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the document has no place for the example"
    assert end, "the place for the example has no end"
    text = rendered(objects_of_example(), images()[-1])
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
