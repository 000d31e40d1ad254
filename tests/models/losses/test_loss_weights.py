import pytest

from speech2video.models.losses.loss_weights import weights_of
from speech2video.util.errors import OptionError


def test_pairs_say_weights() -> None:
    assert weights_of(["a=0.5", "b=0"], ("a", "b", "c")) == {"a": 0.5, "b": 0.0}
    assert weights_of([], ()) == {}


@pytest.mark.parametrize("pair", ["d=1", "a=-1", "a=nan", "a=inf", "a=much", "a"])
def test_what_is_no_weight_is_named(pair: str) -> None:
    with pytest.raises(OptionError, match=f"--weights {pair.partition('=')[0]}"):
        weights_of([pair], ("a",))
