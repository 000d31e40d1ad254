"""What every metric asks of its arrays before it computes."""

import numpy as np

from speech2video.util.errors import DataError


def checked(name: str, values: np.ndarray, *, axes: int, frames: int = 1) -> np.ndarray:
    """Return an array as float64; `name` is what the error calls it.

    Raises:
        DataError: another number of axes, fewer than `frames` rows, NaN or infinity.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != axes or len(values) < frames or 0 in values.shape:
        needed = f"{axes} axes with at least {frames} rows"
        raise DataError(f"{name}: shape {values.shape}; {needed} are needed")
    if not np.isfinite(values).all():
        raise DataError(f"{name}: NaN or infinite numbers; finite ones are needed")
    return values


def checked_pair(
    predicted: np.ndarray, true: np.ndarray, *, axes: int, frames: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return a prediction and its truth as `checked`; raises `DataError` unless alike in shape."""
    predicted = checked("predicted", predicted, axes=axes, frames=frames)
    true = checked("true", true, axes=axes, frames=frames)
    if predicted.shape != true.shape:
        raise DataError(
            f"predicted is {predicted.shape}, true {true.shape}; the same shape is needed"
        )
    return predicted, true
