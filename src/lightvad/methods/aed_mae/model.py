"""The masked auto-encoder with its teacher and student decoders (AED-MAE, section 3; sheet, section 2).

A window of F frames, concatenated over channels, becomes one token a patch. Those that are kept (`mask_ratio`) pass
the encoder; both decoders see all places, a learned token standing for those that are hidden. The student shares the
teacher's first decoder block and has one of its own.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from lightvad.errors import LightvadError
from lightvad.methods.aed_mae.settings import Network

ENCODER_WIDTH, DECODER_WIDTH = 256, 128
ENCODER_BLOCKS, TEACHER_BLOCKS = 3, 3
HEADS = 4
EPSILON = 1e-6
FEED_FORWARD_FACTOR = 2

Grid = tuple[int, int]
"""Rows and columns of patches."""


def taken(tokens: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The tokens (B, N, C) at places int64 (B, K), or (1, K) for all alike -> (B, K, C)."""
    if len(kept) == 1:
        return tokens.index_select(1, kept[0])
    return tokens.gather(1, kept[:, :, None].expand(-1, -1, tokens.shape[2]))


def laid_out(tokens: torch.Tensor, kept: torch.Tensor, ground: torch.Tensor, count: int) -> torch.Tensor:
    """The inverse of `taken`: tokens (B, K, C) on their places, `ground` (1, 1, C) on all others -> (B, count, C)."""
    ground = ground.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
    if len(kept) > 1:
        places = kept[:, :, None].expand(-1, -1, tokens.shape[2])
        return ground.expand(-1, count, -1).scatter(1, places, tokens)
    source = torch.full((count,), tokens.shape[1], device=kept.device)
    source[kept[0]] = torch.arange(tokens.shape[1], device=kept.device)
    return torch.cat([tokens, ground], dim=1).index_select(1, source)


@dataclass(frozen=True)
class Places:
    """Where the tokens of a sequence lie on the grid.

    Attributes:
        grid: rows and columns of patches.
        kept: int64 (B, K), the place of every token, row by row, or (1, K) for all alike; None: all places in order.
        in_place: fold kept tokens on their own places among zeros; False: as a smaller grid, in the order they have.
    """

    grid: Grid
    kept: torch.Tensor | None = None
    in_place: bool = True

    def fold(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, K, C) -> (B, C, h, w)."""
        rows, columns = self.grid
        if self.kept is not None and self.in_place:
            tokens = laid_out(tokens, self.kept, tokens.new_zeros(1, 1, tokens.shape[2]), rows * columns)
        return tokens.transpose(1, 2).unflatten(2, (rows, -1))

    def unfold(self, planes: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, K, C)."""
        tokens = planes.flatten(2).transpose(1, 2)
        return tokens if self.kept is None or not self.in_place else taken(tokens, self.kept)


class Attention(nn.Module):
    """Multi-head attention; queries, keys and values pass a depthwise 3x3 convolution first (Convolutional ViT).

    The [CLS] token, which has no place, passes none. Scores are divided by the root of the full width, not of a head's
    (sheet). (B, 1 + K, C) -> the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.BatchNorm2d(width))
            for _ in range(3)
        )
        self.projections = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, places: Places) -> torch.Tensor:
        """(B, 1 + K, C) -> the same."""
        first, planes = x[:, :1], places.fold(x[:, 1:])
        query, key, value = (
            projection(torch.cat([first, places.unfold(_in_float32(convolution, planes)).to(x.dtype)], dim=1))
            .unflatten(2, (HEADS, -1))
            .transpose(1, 2)
            for convolution, projection in zip(self.convolutions, self.projections, strict=True)
        )
        return self.output(self._attended(query, key, value).transpose(1, 2).flatten(2))

    def _attended(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """(B, heads, n, c) each -> the same; torch's fused kernel, but not where its backward pass on a CPU is slow."""
        if query.requires_grad and query.device.type == "cpu":
            return ((query * self.scale) @ key.transpose(-1, -2)).softmax(-1) @ value
        return F.scaled_dot_product_attention(query, key, value, scale=self.scale)


def _in_float32(convolution: nn.Module, planes: torch.Tensor) -> torch.Tensor:
    """A depthwise convolution outside autocast: oneDNN's bfloat16 gradient of one is many times slower."""
    counted = planes.device.type == "meta"  # autocast does not know this device
    with nullcontext() if counted else torch.autocast(planes.device.type, enabled=False):
        found: torch.Tensor = convolution(planes.float())
    return found


class FeedForward(nn.Module):
    """Two layers on every token: 1x1 convolutions, which [CLS] skips, or a multi-layer perceptron (Table 7)."""

    def __init__(self, width: int, settings: Network) -> None:
        super().__init__()
        inner = FEED_FORWARD_FACTOR * width
        self.pointwise = settings.feed_forward == "pointwise"
        # A 1x1 convolution over tokens is a linear layer on each; what differs is who passes it.
        self.expand = nn.Linear(width, inner)
        self.dropout = nn.Dropout(settings.dropout)
        self.contract = nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1 + K, C) -> the same."""
        if not self.pointwise:
            return self.contract(self.dropout(F.gelu(self.expand(x))))
        first, tokens = x[:, :1], x[:, 1:]
        passed: torch.Tensor = self.contract(self.dropout(F.gelu(self.expand(tokens))))
        return torch.cat([first.to(passed.dtype), passed], dim=1)


class Block(nn.Module):
    """One transformer block: attention and feed-forward, each behind a layer norm and residual. (B, 1 + K, C)."""

    def __init__(self, width: int, settings: Network) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, eps=EPSILON)
        self.attention = Attention(width)
        self.norm_feed_forward = nn.LayerNorm(width, eps=EPSILON)
        self.feed_forward = FeedForward(width, settings)

    def forward(self, x: torch.Tensor, places: Places) -> torch.Tensor:
        """(B, 1 + K, C) -> the same."""
        x = x + self.attention(self.norm_attention(x), places)
        out: torch.Tensor = x + self.feed_forward(self.norm_feed_forward(x))
        return out


@dataclass(frozen=True)
class Shared:
    """What both decoders start from.

    Attributes:
        tokens: (B, 1 + N, 128), what the teacher's first decoder block gives.
        places: all places of the grid.
        logits: (B,) of the class head; None without it.
    """

    tokens: torch.Tensor
    places: Places
    logits: torch.Tensor | None


class Teacher(nn.Module):
    """Encoder, class head and the teacher's decoder: all that the first stage trains.

    Args:
        settings: of the network.
        channels: of a rebuilt patch.
        class_head: whether [CLS] tells synthetic anomalies.
    """

    def __init__(self, settings: Network, *, channels: int, class_head: bool) -> None:
        super().__init__()
        patch = settings.patch
        self.in_place = settings.encoder_tokens == "in_place"
        self.embed = nn.Conv2d(3 * settings.input_frames, ENCODER_WIDTH, patch, stride=patch)
        self.norm_embedded = nn.LayerNorm(ENCODER_WIDTH, eps=EPSILON)
        self.cls = nn.Parameter(torch.zeros(1, 1, ENCODER_WIDTH))
        self.encoder = nn.ModuleList(Block(ENCODER_WIDTH, settings) for _ in range(ENCODER_BLOCKS))
        self.norm_encoded = nn.LayerNorm(ENCODER_WIDTH, eps=EPSILON)
        self.class_head = nn.Linear(ENCODER_WIDTH, 1) if class_head else None
        self.narrow = nn.Linear(ENCODER_WIDTH, DECODER_WIDTH)
        self.hidden = nn.Parameter(torch.zeros(1, 1, DECODER_WIDTH))
        self.first_block = Block(DECODER_WIDTH, settings)
        self.head = Head(TEACHER_BLOCKS - 1, patch * patch * channels, settings)

    def forward(self, windows: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, Shared]:
        """Windows (B, 3F, H, W) in [-1, 1] and kept places (B or 1, K) -> patches (B, N, p * p * c); `shared`."""
        shared = self.shared(windows, kept)
        return self.head(shared), shared

    def shared(self, windows: torch.Tensor, kept: torch.Tensor) -> Shared:
        """The encoder and the first block of the decoder, which the student shares; arguments as `forward`."""
        encoded, grid = self.encode(windows, kept)
        logits = None if self.class_head is None else self.class_head(encoded[:, 0])[:, 0]
        narrow = self.narrow(encoded)
        if self._kept(kept, grid) is not None:
            shown = laid_out(narrow[:, 1:], kept, self.hidden, grid[0] * grid[1])
            narrow = torch.cat([narrow[:, :1], shown], dim=1)
        places = Places(grid)
        return Shared(self.first_block(narrow, places), places, logits)

    def encode(self, windows: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, Grid]:
        """Windows (B, 3F, H, W) and the places that are kept (B or 1, K) -> tokens (B, 1 + K, 256), [CLS] first."""
        embedded = self.embed(windows)
        grid = (embedded.shape[2], embedded.shape[3])
        tokens = self.norm_embedded(embedded.flatten(2).transpose(1, 2))
        places = Places(grid, self._kept(kept, grid), self.in_place)
        if places.kept is not None:
            tokens = taken(tokens, kept)
        x = torch.cat([self.cls.expand(tokens.shape[0], -1, -1).to(tokens.dtype), tokens], dim=1)
        for block in self.encoder:
            x = block(x, places)
        return self.norm_encoded(x), grid

    def _kept(self, kept: torch.Tensor, grid: Grid) -> torch.Tensor | None:
        """The places that are kept; None: all of them, in their order."""
        return None if self.in_place and kept.shape[1] == grid[0] * grid[1] else kept


class Head(nn.Module):
    """A decoder's own blocks, its layer norm, and the linear layer that draws the patches."""

    def __init__(self, blocks: int, outputs: int, settings: Network) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(DECODER_WIDTH, settings) for _ in range(blocks))
        self.norm = nn.LayerNorm(DECODER_WIDTH, eps=EPSILON)
        self.output = nn.Linear(DECODER_WIDTH, outputs)

    def forward(self, shared: Shared) -> torch.Tensor:
        """What the decoders share -> patches (B, N, p * p * c)."""
        x = shared.tokens
        for block in self.blocks:
            x = block(x, shared.places)
        patches: torch.Tensor = self.output(self.norm(x[:, 1:]))
        return patches


@dataclass(frozen=True)
class Rebuilt:
    """What the network makes of some windows.

    Attributes:
        teacher: (B, N, p * p * c) patches.
        student: the same by the student's branch; None without it.
        logits: (B,) of the class head; None without it.
    """

    teacher: torch.Tensor
    student: torch.Tensor | None
    logits: torch.Tensor | None


class MaskedAutoEncoder(nn.Module):
    """Teacher and student as they run at test time.

    Args:
        settings: of the network.
        channels: of a rebuilt patch.
        class_head: whether there is one.
        student: whether there is a student's branch: one block of its own.
    """

    def __init__(self, settings: Network, *, channels: int, class_head: bool, student: bool) -> None:
        super().__init__()
        self.teacher = Teacher(settings, channels=channels, class_head=class_head)
        self.student = Head(1, settings.patch**2 * channels, settings) if student else None

    def forward(self, windows: torch.Tensor, kept: torch.Tensor) -> Rebuilt:
        """Windows (B, 3F, H, W) in [-1, 1], the places that are kept (B or 1, K) -> patches and class."""
        patches, shared = self.teacher(windows, kept)
        return Rebuilt(patches, None if self.student is None else self.student(shared), shared.logits)


def kept_places(noise: torch.Tensor, grid: Grid, settings: Network) -> torch.Tensor:
    """The places whose tokens are kept: those of the smallest noise.

    So many are kept that they fold to a grid of all rows and a share of the columns, as in the code.

    Args:
        noise: (B, N) numbers to sort by.
        grid: rows and columns of patches.
        settings: `mask_ratio` and `encoder_tokens`.

    Returns:
        int64 (B, K), in ascending order, or shuffled where `encoder_tokens` says so.
    """
    count = grid[0] * max(1, int(grid[1] * (1 - settings.mask_ratio)))
    kept = noise.argsort(dim=1)[:, :count]
    return kept if settings.encoder_tokens == "shuffled" else kept.sort(dim=1).values


def check_grid(input_size: tuple[int, int], patch: int) -> None:
    """Check that a frame has whole patches.

    Raises:
        LightvadError: it has not.
    """
    if input_size[0] % patch or input_size[1] % patch:
        message = (
            f"aed_mae: an input of {input_size[0]}x{input_size[1]} pixels has no whole patches of {patch}; give another"
            " `network.patch` or `network.input_size`"
        )
        raise LightvadError(message)


def grid_of(input_size: tuple[int, int], patch: int) -> Grid:
    """Rows and columns of patches."""
    return input_size[0] // patch, input_size[1] // patch


def patches_of(planes: torch.Tensor, patch: int) -> torch.Tensor:
    """(B, c, H, W) -> (B, N, p * p * c), the channels of a pixel beside each other."""
    rows, columns = grid_of((planes.shape[2], planes.shape[3]), patch)
    cut = planes[:, :, : rows * patch, : columns * patch]
    parts = cut.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))
    return parts.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def planes_of(patches: torch.Tensor, grid: Grid, patch: int) -> torch.Tensor:
    """(B, N, p * p * c) -> (B, c, h * p, w * p): the inverse of `patches_of`."""
    rows, columns = grid
    parts = patches.unflatten(1, (rows, columns)).unflatten(3, (patch, patch, -1))
    return parts.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
