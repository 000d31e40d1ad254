"""glTF: four joints for each point. Files are tested by what is written, in test_motion_export."""

import numpy as np
from scipy.spatial.transform import Rotation

from speech2video.util.gltf import four_joints


def test_four_joints_move_a_point_nearly_as_six_do():
    rng = np.random.default_rng(0)
    weights_NJ = np.zeros((3, 60))
    weights_NJ[0, [3, 8, 9, 20, 30, 59]] = 0.05, 0.1, 0.2, 0.3, 0.3, 0.05
    weights_NJ[1, 7] = 1
    weights_NJ[2, [4, 2]] = 0.25, 0.75
    points_N3 = rng.normal(size=(3, 3))
    transforms_TJ44 = np.tile(np.eye(4), (20, 60, 1, 1))
    turns = rng.normal(0, 0.3, (20, 60, 3))
    turns[:, [20, 30]] = 0  # these two move as one, so that one is enough
    transforms_TJ44[:, :, :3, :3] = (
        Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(20, 60, 3, 3)
    )
    joints_N4, weights_N4 = four_joints(weights_NJ, points_N3, transforms_TJ44)
    assert joints_N4.dtype == np.uint8 and np.allclose(weights_N4.sum(1), 1)
    assert joints_N4[1].tolist() == [7, 0, 0, 0] and joints_N4[2].tolist() == [2, 4, 0, 0]
    assert weights_N4[2].tolist() == [0.75, 0.25, 0, 0]

    def place(joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
        moved_TK3 = transforms_TJ44[:, joints, :3] @ np.append(points_N3[0], 1)
        return np.einsum("k,tkc->tc", weights, moved_TK3)

    wanted_T3 = place(np.arange(60), weights_NJ[0])
    strongest = np.array((20, 30, 9, 8))
    truncated_T3 = place(strongest, weights_NJ[0, strongest] / weights_NJ[0, strongest].sum())
    error = np.linalg.norm(place(joints_N4[0], weights_N4[0]) - wanted_T3)
    assert error < 0.7 * np.linalg.norm(truncated_T3 - wanted_T3)
