from pathlib import Path

import pytest

from speech2video.options.training import parse_loss_weights
from speech2video.util.checkpoint_folder import step_folder
from speech2video.util.errors import OptionError
from tests.models.toy import ToyOptions, toy_options


def saved_run(checkpoints: Path, **values: object) -> ToyOptions:
    """Make what a run leaves that matters to the options of the next."""
    options = toy_options(checkpoints, **values)
    checkpoint = step_folder(options.folder, 7)
    checkpoint.mkdir(parents=True)
    options.save(checkpoint / "options.json")
    return options


def parse(checkpoints: Path, line: str) -> ToyOptions:
    return ToyOptions.parse([*line.split(), "--checkpoints", str(checkpoints)])


def test_what_is_not_given_is_as_it_was(tmp_path: Path) -> None:
    saved_run(tmp_path, width=24, lr=0.25, workers=3)
    options = parse(tmp_path, "--name toy --dataset other --steps 77")
    assert (options.width, options.lr, options.steps) == (24, 0.25, 77)
    assert options.dataset == Path("other")
    assert options.workers == 0  # belongs to the machine, not to the run
    assert options.checkpoint_to_resume() == options.folder / "step_00000007"


def test_given_default_wins_over_what_was(tmp_path: Path) -> None:
    saved_run(tmp_path, lr=0.25)
    options = parse(tmp_path, "--name toy --dataset x --lr 0.001")
    assert options.lr == 0.001


def test_another_architecture_is_one_clear_line(tmp_path: Path) -> None:
    saved_run(tmp_path, width=24)
    options = parse(tmp_path, "--name toy --dataset x --width 8")
    with pytest.raises(OptionError, match=r"--width 8: .*/toy/toy was trained with 24"):
        options.checkpoint_to_resume()


def test_resume_always_and_never(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no checkpoint in"):
        toy_options(tmp_path, resume="always").checkpoint_to_resume()
    assert toy_options(tmp_path, resume="never").checkpoint_to_resume() is None
    saved_run(tmp_path)
    with pytest.raises(OptionError, match="choose another --name"):
        toy_options(tmp_path, resume="never").checkpoint_to_resume()


@pytest.mark.parametrize(
    "values", [{"name": "a/b"}, {"name": ".."}, {"name": ""}, {"patience": 3}, {"steps": None}]
)
def test_values_that_do_not_go_together_are_refused(tmp_path: Path, values: dict) -> None:
    with pytest.raises(OptionError):
        toy_options(tmp_path, **values)


def test_pairs_say_weights() -> None:
    assert parse_loss_weights(["a=0.5", "b=0"], ("a", "b", "c")) == {"a": 0.5, "b": 0.0}
    assert parse_loss_weights([], ()) == {}


@pytest.mark.parametrize("pair", ["d=1", "a=-1", "a=nan", "a=inf", "a=much", "a"])
def test_what_is_no_weight_is_named(pair: str) -> None:
    with pytest.raises(OptionError, match=f"--weights {pair.partition('=')[0]}"):
        parse_loss_weights([pair], ("a",))
