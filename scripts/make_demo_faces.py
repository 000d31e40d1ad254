"""Make the demo faces: synthetic people who speak in eight moods; every number behind is known.

python scripts/make_demo_faces.py --output datasets/demo_faces --people 24 --sentences 10

datasets/demo_faces/p03_07_sad/      a face clip, as `preprocess --faces` makes them of recordings
datasets/demo_faces/truth/           p03_07_sad.npz: expression, jaw, lip opening, landmarks, …

Every fifth sentence of a person is one that nobody says among the others: those are held out by
default. A run that was stopped is taken up where it stopped, clip by clip.
"""

import _checkout  # noqa: F401
from make_demo_speaker import at_most, check_extras, parallel

from speech2video.data.synthetic.faces.recording import FacePlan, is_complete, make_demo_face_clip
from speech2video.options.tools import MakeDemoFacesOptions
from speech2video.util.errors import run_command
from speech2video.util.iteration import progress_bar


def main() -> None:
    options = MakeDemoFacesOptions.parse()
    check_extras("the set of demo faces")
    plans = plan_clips(options)
    (options.output / "truth").mkdir(parents=True, exist_ok=True)
    todo = [plan for plan in plans if not is_complete(options.output, plan)]
    if len(todo) < len(plans):
        print(f"{options.output}: {len(plans) - len(todo)} of {len(plans)} clips are there")
    total = sum(plan.frames for plan in todo)
    jobs = min(options.jobs, len(todo))
    made = parallel(options.output, todo, make=make_demo_face_clip, jobs=jobs)
    for _ in progress_bar(at_most(total, made), total=total, name=str(options.output)):
        pass
    print(f"{options.output}: {len(plans)} clips of {options.people} people, with their truth")


def plan_clips(options: MakeDemoFacesOptions) -> list[FacePlan]:
    """Return the clips to make: everybody's first sentence, then everybody's second, …

    More people and more sentences leave the others as they were.
    """
    return [
        FacePlan(person, number, options.seed, options.seconds, options.size)
        for number in range(options.sentences)
        for person in range(options.people)
    ]


if __name__ == "__main__":
    run_command(main)
