"""Boxes cut out of pictures at a size of their own: heads, hands, mouths."""

import torch
from torch import Tensor
from torchvision.ops import roi_align


def crop(pictures_NCHW: Tensor, boxes_N4: Tensor, size: int) -> Tensor:
    """Return each picture's box, (N, C, size, size) float32; gradients go to the pictures.

    Every pixel is the mean of as many bilinear samples as it covers pixels of the picture
    (RoIAlign; He et al., Mask R-CNN, 2017): a large box made small is averaged, not thinned out,
    and a box of whole pixels at its own size is copied as it is.

    Args:
        pictures_NCHW: any floating type.
        boxes_N4: x0 y0 x1 y1 in pixels, (0, 0) the picture's corner, x0 <= x1 and y0 <= y1. What
            lies outside the picture is zero, which is grey: a border drawn out into stripes would
            be one more thing to judge, and would lay the weight of all of it on the border's
            pixels. An empty box (zeros: the part is absent) gives zeros.
        size: pixels a side of the result.
    """
    numbers = torch.arange(len(boxes_N4), device=pictures_NCHW.device, dtype=torch.float32)
    boxes_N5 = torch.cat((numbers[:, None], boxes_N4.detach().to(numbers)), 1)
    return roi_align(pictures_NCHW.float(), boxes_N5, size, sampling_ratio=-1, aligned=True)
