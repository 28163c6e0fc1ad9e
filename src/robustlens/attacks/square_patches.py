"""The Square attack (Andriushchenko et al. 2020) with the draws and the results of pyautoattack's, in fewer operations.

Thousands of queries to a small network cost less than what is done between them.
"""

import math

import torch
from pyautoattack.square import SquareAttack
from torch import Tensor

from robustlens.models.inference import AT_ONCE

AHEAD = 16  # queries of an image that are asked at once, at most


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
        left alone once it is misclassified. Algorithms 1 and 2 of the paper.

        What a query changes does not depend on the answers to the ones before it, and most change nothing for good. So
        few images are asked about several of their next queries at once, as if none of these lowered the margin; from
        the first one that does, an image goes on.
        """
        channels, height, width = x.shape[1:]
        stripes = self.eps * self.random_choice([len(x), channels, 1, width])
        best = (x + stripes).clamp(0, 1)
        low, high = (x - self.eps).clamp(min=0), (x + self.eps).clamp(max=1)
        x_adv, left = best.clone(), torch.arange(len(x), device=x.device)
        margin, query = self.margin(best, y), torch.zeros_like(left)  # the next one of each image
        top, start, side, changes = self.patches(channels, height, width, x.device)
        rows, columns = (torch.arange(size, device=x.device) for size in (height, width))
        at_once = getattr(self.predict, "at_once", AT_ONCE)
        while True:
            done = (margin <= 0) | (query >= self.n_queries)
            if done.any():
                x_adv[left] = best
                left, best, low, high, y, margin, query = (t[~done] for t in (left, best, low, high, y, margin, query))
            if len(left) == 0:
                return x_adv
            ahead = min(AHEAD, max(1, at_once // best.numel()), self.n_queries - int(query.min()))
            asked = query[:, None] + torch.arange(ahead, device=x.device)
            there = asked < self.n_queries
            asked = asked.clamp(max=self.n_queries - 1)
            in_rows, in_columns = (
                (first[asked][..., None] <= places) & (places < (first + side)[asked][..., None])
                for first, places in ((top, rows), (start, columns))
            )
            inside = in_rows[:, :, None, :, None] & in_columns[:, :, None, None, :]
            changed = (best[:, None] + changes[asked]).clamp(low[:, None], high[:, None])
            tried = torch.where(inside, changed, best[:, None])
            after = self.margin(tried.flatten(0, 1), y.repeat_interleave(ahead)).view(-1, ahead)
            lower = (after < margin[:, None]) & there
            found, first = lower.any(1), lower.to(torch.uint8).argmax(1)
            best[found], margin[found] = tried[found, first[found]], after[found, first[found]]
            query += torch.where(found, first + 1, ahead)

    def patches(
        self, channels: int, height: int, width: int, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of all queries: the first row and column of a patch and its side in pixels, (Q,) each, and by how much its
        pixels change, (Q, C, 1, 1)."""
        drawn = torch.rand(self.n_queries, 2 + channels)  # a row has what the library draws for a query, in its order
        side = torch.tensor([self.side(query, height, width) for query in range(self.n_queries)])
        room = torch.stack([height - side, width - side], 1)
        top, start = (room * drawn[:, :2]).long().T
        changes = 2.0 * self.eps * torch.sign(2 * drawn[:, 2:] - 1)
        return *(t.to(device) for t in (top, start, side)), changes.view(-1, channels, 1, 1).to(device)

    def side(self, query: int, height: int, width: int) -> int:
        """Of the square that this query changes, in pixels."""
        side = round(math.sqrt(self.p_selection(query) * (height * width)))  # in this order, as a half decides
        return min(max(side, 1), height, width)

    def margin(self, x: Tensor, y: Tensor) -> Tensor:
        """Of the right class over the best other one, (B,)."""
        logits, right = self.predict(x), y[:, None]
        return (logits.gather(1, right) - logits.scatter(1, right, -torch.inf).amax(1, keepdim=True)).squeeze(1)
