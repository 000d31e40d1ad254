"""Without torchrun every function works for a single process."""

import os
import subprocess
import sys

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


def test_a_launched_command_ends_before_its_interpreter_does() -> None:
    """Gloo's threads may outlive a process group; they abort a process whose interpreter ends."""
    program = (
        "import atexit, sys\n"
        "from speech2video.util.errors import OptionError, run_command\n"
        "class Late:\n"
        "    def __del__(self): print('interpreter ended')\n"
        "sys.modules['late'] = Late()\n"
        "atexit.register(print, 'exit functions ran')\n"
        "def main():\n"
        "    print('working', end=' ')\n"
        "    raise OptionError('wrong')\n"
        "run_command(main)\n"
    )
    outputs = []
    for launched in ({}, {"TORCHELASTIC_RUN_ID": "1"}):
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | launched,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 2 and ended.stderr == "error: wrong\n"
        outputs.append(ended.stdout)
    assert outputs[0] == "working exit functions ran\ninterpreter ended\n"
    assert outputs[1] == "working exit functions ran\n"
