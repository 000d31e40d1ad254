"""glTF 2.0, the exchange format of 3D scenes: arrays and json in one file.

The specification is Khronos's; accessor, view, sampler and the like are its words.
"""

import base64
import itertools
import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ATTRIBUTE, INDICES = 34962, 34963  # targets of buffer views, OpenGL's numbers
INFLUENCES = 4  # joints that move a point
SUM_TO_ONE = 10.0  # metres that a sum of weights of 2 in place of 1 is as bad as
JPEG_QUALITY = 92
_COMPONENTS = {"uint8": 5121, "uint32": 5125, "float32": 5126}
_ELEMENTS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def four_joints(
    weights_NJ: np.ndarray, points_N3: np.ndarray, transforms_TJ44: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the joints (N, 4) that move each point, uint8, and weights (N, 4), rows of sum 1.

    Four are what every viewer supports. For a point that more joints move, those four and the
    weights are taken that bring it nearest to its place in the poses of `transforms_TJ44`.
    Weight 0 goes with joint 0, as glTF asks for.
    """
    from scipy.optimize import nnls  # takes a fifth of a second to import

    weights_NJ = weights_NJ.clip(0)
    joints_N4 = np.argsort(-weights_NJ, axis=1)[:, :INFLUENCES]
    weights_N4 = np.take_along_axis(weights_NJ, joints_N4, 1)
    for point in np.flatnonzero((weights_NJ > 0).sum(1) > INFLUENCES):
        joints = np.flatnonzero(weights_NJ[point])
        places_JX = (transforms_TJ44[:, joints, :3] @ (*points_N3[point], 1)).swapaxes(0, 1)
        places_JX = places_JX.reshape(len(joints), -1)
        wanted_X = np.append(weights_NJ[point, joints] @ places_JX, SUM_TO_ONE)
        best = np.inf
        for chosen in map(list, itertools.combinations(range(len(joints)), INFLUENCES)):
            rows_JX = np.pad(places_JX[chosen], ((0, 0), (0, 1)), constant_values=SUM_TO_ONE)
            weights, error = nnls(rows_JX.T, wanted_X)
            if error < best:
                best, joints_N4[point], weights_N4[point] = error, joints[chosen], weights
    weights_N4 = weights_N4 / weights_N4.sum(1, keepdims=True)
    return np.where(weights_N4 > 0, joints_N4, 0).astype(np.uint8), weights_N4


class Gltf:
    """A glTF file in the making: its json, and the bytes of its one buffer.

    Attributes:
        json: the lists of nodes, meshes and so on by name.
    """

    def __init__(self) -> None:
        self.json: dict[str, Any] = {"asset": {}, "scene": 0}
        self._chunks: list[bytes] = []
        self._size = 0

    def put(self, kind: str, item: dict[str, Any]) -> int:
        """Append to one of the lists of the json; return the index."""
        items = self.json.setdefault(kind, [])
        items.append(item)
        return len(items) - 1

    def add(self, values: np.ndarray, *, target: int | None = None, limits: bool = False) -> int:
        """Append an array (N,) or (N, …); return its accessor. Other than integers are float32."""
        if values.dtype.kind == "f":
            values = values.astype("<f4")
        accessor: dict[str, Any] = {
            "bufferView": self._add_bytes(values.tobytes(), target),
            "componentType": _COMPONENTS[values.dtype.name],
            "count": len(values),
            "type": _ELEMENTS[values[0].size],
        }
        if limits:
            rows = values.reshape(len(values), -1)
            accessor |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        return self.put("accessors", accessor)

    def add_texture(self, image_HW3: np.ndarray) -> int:
        """Append an RGB image as JPEG; return its texture."""
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        encoded = cv2.imencode(".jpg", image_HW3[..., ::-1], quality)[1]
        view = self._add_bytes(encoded.tobytes())
        image = self.put("images", {"bufferView": view, "mimeType": "image/jpeg"})
        return self.put("textures", {"source": image})

    def write(self, path: Path) -> None:
        """Write the binary container, or json with the buffer in it for a file named .gltf."""
        buffer: dict[str, Any] = {"byteLength": self._size}
        self.json["buffers"] = [buffer]
        if path.suffix.lower() == ".gltf":
            data = base64.b64encode(b"".join(self._chunks)).decode("ascii")
            buffer["uri"] = f"data:application/octet-stream;base64,{data}"
            path.write_text(json.dumps(self.json), encoding="utf-8")
            return
        text = json.dumps(self.json, separators=(",", ":")).encode("ascii")
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self._size
        with path.open("wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, total))
            file.write(struct.pack("<I4s", len(text), b"JSON") + text)
            file.write(struct.pack("<I4s", self._size, b"BIN\0"))
            file.writelines(self._chunks)

    def _add_bytes(self, content: bytes, target: int | None = None) -> int:
        """Append bytes to the buffer; return their view."""
        view = {"buffer": 0, "byteOffset": self._size, "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        self._chunks.append(content + bytes(-len(content) % 4))
        self._size += len(self._chunks[-1])
        return self.put("bufferViews", view)
