"""All styles of maps: as the modules that draw them say, and no other one."""

from dataclasses import fields

import numpy as np
import pytest

from speech2video.options.base_options import Options
from speech2video.options.draw_pose_options import DrawPoseOptions
from speech2video.options.import_vid2vid_options import ImportVid2VidOptions
from speech2video.options.train_pose2video_options import TrainPose2VideoOptions
from speech2video.options.vid2vid_options import Vid2VidOptions
from speech2video.util.drawing import draw_frame, draw_skeleton
from speech2video.util.drawing_vid2vid_authors import draw_vid2vid_authors
from speech2video.util.maps import STYLES, draw_map
from speech2video.util.openpose import points_to_openpose

SIZE = {"width": 96, "height": 64}
POINTS_K2 = np.random.default_rng(0).uniform(0, 64, (144, 2)).astype(np.float32)


@pytest.mark.parametrize("style", STYLES)
def test_a_map_is_that_of_its_style(style: str) -> None:
    found = draw_map(POINTS_K2, style=style, **SIZE)
    of = {
        "speech2video": lambda: next(draw_skeleton([POINTS_K2], **SIZE)),
        "filled_mouth": lambda: draw_frame(POINTS_K2, **SIZE, filled_mouth=True).transpose(2, 0, 1),
        "vid2vid_authors": lambda: draw_vid2vid_authors(points_to_openpose(POINTS_K2), **SIZE),
    }
    assert found.shape == (3, 64, 96) and found.dtype == np.uint8 and found.any()
    assert np.array_equal(found, of[style]())


def test_another_style_is_refused() -> None:
    with pytest.raises(
        ValueError, match="style 'crayon'; one of speech2video, filled_mouth, vid2vid_authors"
    ):
        draw_map(POINTS_K2, style="crayon", **SIZE)


@pytest.mark.parametrize(
    "options", [DrawPoseOptions, ImportVid2VidOptions, TrainPose2VideoOptions, Vid2VidOptions]
)
def test_options_offer_all_styles(options: type[Options]) -> None:
    (style,) = (field for field in fields(options) if field.name == "style")
    assert sorted(style.metadata["choices"]) == sorted(STYLES)
