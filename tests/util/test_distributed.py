"""Without torchrun every function works for a single process."""

import pytest
import torch
from torch import nn

from speech2video.util import distributed
from speech2video.util.errors import OptionError


def test_one_process_is_its_own_world() -> None:
    assert distributed.start("cpu") == torch.device("cpu")
    assert not distributed.is_launched()
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    network = nn.Linear(2, 2)
    assert distributed.wrap(network) is network
    assert distributed.mean_over_ranks({"a": 2.0}) == {"a": 2.0}
    assert distributed.largest(3) == 3 and distributed.from_main([1]) == [1]
    with distributed.main_process_first():
        distributed.barrier()
    distributed.stop()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_absent_gpu_is_one_clear_line() -> None:
    with pytest.raises(OptionError, match="this machine has 0"):
        distributed.start("cuda")
