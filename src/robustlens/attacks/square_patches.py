"""The Square attack (Andriushchenko et al. 2020) with the draws of pyautoattack's and its results, in fewer passes.

Thousands of passes of a few images cost less than what is done between them, and less together than one by one.
"""

import math
from dataclasses import dataclass

import torch
from pyautoattack.square import SquareAttack
from torch import Tensor

from robustlens.models.inference import AT_ONCE

AHEAD = 16  # queries of an image in one pass, at most
USEFUL = 0.75  # of the queries of a pass, at least, for the next one to have more of them


@dataclass(frozen=True)
class Patches:
    """Of Q queries: the first row and column of a patch and its side in pixels, (Q,) each, and by how much its pixels
    change, (Q, C, 1, 1)."""

    top: Tensor
    start: Tensor
    side: Tensor
    change: Tensor

    def on(self, images: Tensor, low: Tensor, high: Tensor, queries: Tensor) -> Tensor:
        """Each image (B, C, H, W) after each of its queries (B, A), kept between low and high: (B, A, C, H, W)."""
        rows, columns = (torch.arange(size, device=images.device) for size in images.shape[2:])
        top, start, side = (t[queries][..., None] for t in (self.top, self.start, self.side))
        in_rows, in_columns = (top <= rows) & (rows < top + side), (start <= columns) & (columns < start + side)
        inside = in_rows[:, :, None, :, None] & in_columns[:, :, None, None, :]
        changed = (images[:, None] + self.change[queries]).clamp(low[:, None], high[:, None])
        return torch.where(inside, changed, images[:, None])


class SquareOnPatches(SquareAttack):
    """L-inf, untargeted, on the margin, one restart: several queries in a pass where images are few, without the
    library's books. Otherwise the library's, with the shapes of L2's patches made once instead of in each query."""

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

        Where a query puts its patch, and its signs, are drawn whatever came before, and most patches are rejected. So
        a pass takes several of the next queries of each image, as if all of them were rejected; an image goes on from
        the first one that is not. There are more of them while few are made in vain.
        """
        channels, height, width = x.shape[1:]
        stripes = self.eps * self.random_choice([len(x), channels, 1, width])
        best = (x + stripes).clamp(0, 1)
        low, high = (x - self.eps).clamp(min=0), (x + self.eps).clamp(max=1)
        x_adv, left = best.clone(), torch.arange(len(x), device=x.device)
        margin, query, ahead = self.margin(best, y), torch.zeros_like(left), 1
        patches = self.patches(channels, height, width, x.device)
        at_once = getattr(self.predict, "at_once", AT_ONCE)  # pixel values in a pass
        while True:
            done = ~(margin > 0) | (query >= self.n_queries)
            if done.any():
                x_adv[left] = best
                left, best, low, high, y, margin, query = (t[~done] for t in (left, best, low, high, y, margin, query))
            if len(left) == 0:
                return x_adv
            ahead = min(ahead, AHEAD, max(1, at_once // best.numel()), self.n_queries - int(query.min()))
            asked = (query[:, None] + torch.arange(ahead, device=x.device)).clamp(max=self.n_queries - 1)
            tried = patches.on(best, low, high, asked)
            after = self.margin(tried.flatten(0, 1), y.repeat_interleave(ahead)).view(-1, ahead)
            ends = ~(after >= margin[:, None])  # also if it is no number: the library, too, stops there
            first = ends.to(torch.uint8).argmax(1)
            found, each = ends.any(1), torch.arange(len(left), device=x.device)
            reached = after[each, first]
            best = torch.where((reached < margin).view(-1, 1, 1, 1), tried[each, first], best)
            margin = torch.where(found, reached, margin)
            made = torch.where(found, first + 1, ahead)
            query += made
            ahead = 2 * ahead if made.sum() >= USEFUL * ahead * len(left) else max(1, ahead // 2)

    def patches(self, channels: int, height: int, width: int, device: torch.device) -> Patches:
        """Those of all queries, as the library draws them."""
        drawn = torch.rand(self.n_queries, 2 + channels)  # a row has what the library draws for a query, in its order
        side = torch.tensor([self.side(query, height, width) for query in range(self.n_queries)])
        room = torch.stack([height - side, width - side], 1)
        top, start = (room * drawn[:, :2]).long().T
        change = 2.0 * self.eps * torch.sign(2 * drawn[:, 2:] - 1)
        return Patches(*(t.to(device) for t in (top, start, side, change.view(-1, channels, 1, 1))))

    def side(self, query: int, height: int, width: int) -> int:
        """Of the square that this query changes, in pixels."""
        side = round(math.sqrt(self.p_selection(query) * (height * width)))  # in this order, as a half decides
        return min(max(side, 1), height, width)

    def margin(self, x: Tensor, y: Tensor) -> Tensor:
        """Of the right class over the best other one, (B,)."""
        logits, right = self.predict(x), y[:, None]
        return (logits.gather(1, right) - logits.scatter(1, right, -torch.inf).amax(1, keepdim=True)).squeeze(1)
