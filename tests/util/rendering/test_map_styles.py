"""All styles of maps: as the modules that draw them say, and no other one."""

from dataclasses import fields

import numpy as np
import pytest

from speech2video.options.base import Options
from speech2video.options.pose2video import (
    ImportVid2VidOptions,
    TrainPose2VideoOptions,
    Vid2VidOptions,
)
from speech2video.options.tools import DrawPoseOptions
from speech2video.util.rendering.openpose import draw_vid2vid_authors_map, points_to_openpose
from speech2video.util.rendering.skeleton_maps import (
    MAP_STYLES,
    draw_map,
    draw_skeleton_map,
    draw_skeleton_maps,
)

SIZE = {"width": 96, "height": 64}
POINTS_K2 = np.random.default_rng(0).uniform(0, 64, (144, 2)).astype(np.float32)


@pytest.mark.parametrize("map_style", MAP_STYLES)
def test_a_map_is_that_of_its_style(map_style: str) -> None:
    found = draw_map(POINTS_K2, map_style=map_style, **SIZE)
    of = {
        "speech2video": lambda: next(draw_skeleton_maps([POINTS_K2], **SIZE)),
        "filled_mouth": lambda: draw_skeleton_map(POINTS_K2, **SIZE, filled_mouth=True).transpose(
            2, 0, 1
        ),
        "vid2vid_authors": lambda: draw_vid2vid_authors_map(points_to_openpose(POINTS_K2), **SIZE),
    }
    assert found.shape == (3, 64, 96) and found.dtype == np.uint8 and found.any()
    assert np.array_equal(found, of[map_style]())


def test_another_style_is_refused() -> None:
    with pytest.raises(
        ValueError, match="style 'crayon'; one of speech2video, filled_mouth, vid2vid_authors"
    ):
        draw_map(POINTS_K2, map_style="crayon", **SIZE)


@pytest.mark.parametrize(
    "options", [DrawPoseOptions, ImportVid2VidOptions, TrainPose2VideoOptions, Vid2VidOptions]
)
def test_options_offer_all_styles(options: type[Options]) -> None:
    (map_style,) = (field for field in fields(options) if field.name == "map_style")
    assert sorted(map_style.metadata["choices"]) == sorted(MAP_STYLES)
