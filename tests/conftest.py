import pytest

from speech2video.util.body.body_model import Body


@pytest.fixture(scope="session")
def body() -> Body:
    """The open body."""
    return Body.load()
