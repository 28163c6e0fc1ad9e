"""The Square attack (Andriushchenko et al. 2020) with the draws and the results of pyautoattack's, in fewer operations.

Thousands of queries to a small network cost less than what is done between them.
"""

import math

import torch
from pyautoattack.square import SquareAttack
from torch import Tensor


class SquareOnPatches(SquareAttack):
    """L-inf, untargeted, on the margin, one restart: what a query changes is a patch, and only that is computed.
    Otherwise the library's, with the shapes of L2's patches made once instead of in each query."""

    def __init__(self, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.shapes: dict[tuple[int, int], Tensor] = {}

    def eta_rectangles(self, x: int, y: int) -> Tensor:
        if (x, y) not in self.shapes:
            self.shapes[x, y] = super().eta_rectangles(x, y)
        return self.shapes[x, y]

    def attack_single_run(self, x: Tensor, y: Tensor) -> tuple[None, Tensor]:
        """(None, x_adv): the library has the queries of each image in its place, and no use for them."""
        if self.norm != "Linf" or self.loss != "margin" or self.targeted or self.n_restarts != 1:
            return super().attack_single_run(x, y)
        with torch.no_grad():
            return None, self.search(x, y)

    def search(self, x: Tensor, y: Tensor) -> Tensor:
        """x_adv of the shape of x (B, C, H, W): stripes at first, then whatever patches lowered the margin; an image is
        left alone once it is misclassified. Algorithms 1 and 2 of the paper."""
        channels, height, width = x.shape[1:]
        stripes = self.eps * self.random_choice([len(x), channels, 1, width])
        best = (x + stripes).clamp(0, 1)
        low, high = (x - self.eps).clamp(min=0), (x + self.eps).clamp(max=1)
        x_adv, left = best.clone(), torch.arange(len(x), device=x.device)
        margin = self.margin(best, y)
        for where, change in zip(*self.patches(channels, height, width, x.device), strict=True):
            if (margin <= 0).any():
                x_adv[left] = best
                kept = margin > 0
                left, best, low, high, y, margin = (t[kept] for t in (left, best, low, high, y, margin))
            if len(left) == 0:
                break
            here = (..., *where)
            patch, before = best[here], best[here].clone()
            patch.copy_((before + change).clamp(low[here], high[here]))
            after = self.margin(best, y)
            patch.copy_(torch.where((after < margin).view(-1, 1, 1, 1), patch, before))
            margin = torch.minimum(after, margin)
        x_adv[left] = best
        return x_adv

    def patches(
        self, channels: int, height: int, width: int, device: torch.device
    ) -> tuple[list[tuple[slice, slice]], Tensor]:
        """Of all queries: where a patch is, and by how much its pixels change, (Q, C, 1, 1)."""
        drawn = torch.rand(self.n_queries, 2 + channels)  # a row has what the library draws for a query, in its order
        sides = [self.side(query, height, width) for query in range(self.n_queries)]
        room = torch.tensor([(height - side, width - side) for side in sides])
        corners = (room * drawn[:, :2]).long().tolist()
        places = [
            (slice(top, top + side), slice(start, start + side))
            for side, (top, start) in zip(sides, corners, strict=True)
        ]
        changes = 2.0 * self.eps * torch.sign(2 * drawn[:, 2:] - 1)
        return places, changes.view(-1, channels, 1, 1).to(device)

    def side(self, query: int, height: int, width: int) -> int:
        """Of the square that this query changes, in pixels."""
        side = round(math.sqrt(self.p_selection(query) * (height * width)))  # in this order, as a half decides
        return min(max(side, 1), height, width)

    def margin(self, x: Tensor, y: Tensor) -> Tensor:
        """Of the right class over the best other one, (B,)."""
        logits, right = self.predict(x), y[:, None]
        return (logits.gather(1, right) - logits.scatter(1, right, -torch.inf).amax(1, keepdim=True)).squeeze(1)
