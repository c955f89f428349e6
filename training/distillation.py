"""Losses that hold a student to what its teachers answer, pixel by pixel, without any label.

Student and teacher stand on one grid [N, C, h, w]. `inside` marks the pixels that count, those of an image
and not of what was filled in around it; a loss without such pixels is 0.
"""

import torch
from torch import Tensor
from torch.nn import functional

_TRANSFER_FLOOR = 1e-4
"""What the authors' code (germanRos/MatConvNet-DeconvNet) adds to a probability before its logarithm."""


def soft_cross_entropy(
    student: Tensor, teacher: Tensor, inside: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """The cross entropy of softened probabilities, times the temperature squared.

    Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section 2.

    Args:
        student: logits float [N,C,h,w].
        teacher: likewise; logarithms of probabilities will do.
        inside: bool [N,h,w].
        temperature: of both softmaxes.
    """
    target = (teacher / temperature).softmax(1)
    entropy = -(target * (student / temperature).log_softmax(1)).sum(1)  # [N, h, w]
    return temperature**2 * _mean(entropy, inside)


def channel_wise(student: Tensor, teacher: Tensor, inside: Tensor, *, temperature: float = 4.0) -> Tensor:
    """The divergence of the places where each class is seen: CWD, one softmax over the pixels of a channel.

    Shu et al. 2021, arXiv 2011.13256, equations 3 to 5: T^2 / C times the sum over channels of KL(teacher ||
    student), the mean over images. Temperature 4 is theirs; their weight of this loss is 3.

    Args:
        student: logits float [N,C,h,w].
        teacher: likewise, of the same kind: a shift of all classes of one pixel changes this loss.
        inside: bool [N,h,w].
        temperature: of both softmaxes.
    """
    outside = ~inside[:, None].expand_as(student)
    ours, theirs = (
        (scores / temperature).masked_fill(outside, -torch.inf).flatten(2) for scores in (student, teacher)
    )
    some = inside.flatten(1).any(1)  # [N]: an image of fill alone has no softmax
    ours, theirs = ours[some].log_softmax(2), theirs[some].log_softmax(2)
    terms = torch.where(theirs.isfinite(), theirs.exp() * (theirs - ours), 0.0)
    return temperature**2 / student.shape[1] * terms.sum((1, 2)).sum() / max(1, len(student))


def correlation(student: Tensor, teacher: Tensor, inside: Tensor, *, temperature: float = 1.0) -> Tensor:
    """One minus the correlation of probabilities over classes, plus the same over pixels: DIST.

    Huang et al. 2022, arXiv 2205.10536, equations 7 to 10, each pixel an instance and both parts with weight
    1, times the temperature squared.

    Args:
        student: logits float [N,C,h,w].
        teacher: likewise; logarithms of probabilities will do.
        inside: bool [N,h,w].
        temperature: of both softmaxes.
    """
    ours, theirs = (
        (scores / temperature).softmax(1).permute(0, 2, 3, 1)[inside] for scores in (student, teacher)
    )  # [P, C]
    if not len(ours):
        return student.sum() * 0
    between = 1 - _pearson(ours, theirs).mean()
    within = 1 - _pearson(ours.T, theirs.T).mean()
    return temperature**2 * (between + within)


def transfer(
    student: Tensor,
    teacher: Tensor,
    inside: Tensor,
    *,
    hard: bool = False,
    weights: Tensor | None = None,
) -> Tensor:
    """The transfer losses from S-Net to T-Net of Ros et al. 2016, arXiv 1604.01545, as their code has them.

    With s the teacher's probabilities and t the student's, the mean over pixels of
    TK-L (`hard`): -w[y] log(t_y + 1e-4) with y = argmax s; TK-SMP: -sum_c s_c log(t_c + 1e-4);
    TK-SMP-WCE (`weights`): the same times w[y].

    Args:
        student: logits float [N,C,h,w].
        teacher: likewise; logarithms of probabilities will do.
        inside: bool [N,h,w].
        hard: take the teacher's best class alone.
        weights: of the classes, float32 [C]; the mean is not divided by them.
    """
    target = teacher.softmax(1)
    best = target.argmax(1)  # [N, h, w]
    if hard:
        target = functional.one_hot(best, teacher.shape[1]).permute(0, 3, 1, 2).to(target.dtype)
    terms = -(target * (student.softmax(1) + _TRANSFER_FLOOR).log()).sum(1)  # [N, h, w]
    return _mean(terms if weights is None else terms * weights[best], inside)


def _mean(values: Tensor, inside: Tensor) -> Tensor:
    """The mean of values [N,h,w] over the pixels that count, 0 without any."""
    return torch.where(inside, values, 0.0).sum() / inside.sum().clamp(min=1)


def _pearson(first: Tensor, second: Tensor) -> Tensor:
    """The correlation of the rows of two matrices, 0 where a row is constant."""
    first, second = (rows - rows.mean(1, keepdim=True) for rows in (first, second))
    return functional.cosine_similarity(first, second, dim=1, eps=1e-8)
