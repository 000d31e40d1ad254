"""Make the demo faces: synthetic people who speak with eight emotions, with ground truth.

python scripts/make_demo_faces.py --output datasets/demo_faces --people 24 --sentences 10

datasets/demo_faces/p03_07_sad/      a face clip, as `preprocess --faces` makes them of recordings
datasets/demo_faces/ground_truth/    p03_07_sad.npz: expression, jaw, lip opening, landmarks, …

Every fifth sentence of a person is not spoken anywhere else in the data set: those are held out by
default. A run that was stopped continues where it stopped, clip by clip.
"""

import _checkout  # noqa: F401
from make_demo_speaker import check_extras, make_missing

from speech2video.data.synthetic.faces.recording import FacePlan, is_complete, make_demo_face_clip
from speech2video.options.tools import MakeDemoFacesOptions
from speech2video.util.errors import run_command
from speech2video.util.files import folder_lock


def main() -> None:
    options = MakeDemoFacesOptions.parse()
    check_extras("the set of demo faces")
    # each person's first sentence, then each person's second, …: more people and more sentences
    # leave the other clips as they were
    plans = [
        FacePlan(person, number, options.seed, options.seconds, options.size)
        for number in range(options.sentences)
        for person in range(options.people)
    ]
    with folder_lock(options.output):
        (options.output / "ground_truth").mkdir(exist_ok=True)
        make_missing(plans, options.output, make_demo_face_clip, is_complete, options.jobs, "clips")
    print(f"{options.output}: {len(plans)} clips of {options.people} people, with ground truth")


if __name__ == "__main__":
    run_command(main)
