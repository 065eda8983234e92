"""Small networks with the layouts of real ones: each is of a kind that once gave wrong numbers without a warning."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of (batch, channels, rows, columns)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return functional.layer_norm(input.movedim(1, -1), self.normalized_shape, self.weight, self.bias).movedim(-1, 1)


class Layouts(nn.Module):
    """Maps, channels-last maps, flattened maps, one-dimensional pools and tokens, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.kept = nn.Conv2d(3, 6, 4, stride=4), ChannelNorm(6), nn.Identity()
        self.last, self.flat, self.conv = nn.Identity(), nn.Flatten(2), nn.Conv1d(6, 10, 3, padding=1)
        self.pool, self.tokens, self.head = nn.MaxPool1d(2), nn.LayerNorm(10), nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.kept(self.norm(self.stem(x))).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.pool(self.conv(self.flat(x)))
        return self.head(self.tokens(x.transpose(1, 2)).mean(1))


class Registers(nn.Module):
    """Tokens behind `count` learned ones, which a module looks up: their number may be that of the images."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.patch, self.registers = nn.Conv2d(3, 12, 4, stride=4), nn.Embedding(count, 12)
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 5)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        learned = self.registers(torch.arange(self.count)).expand(len(x), -1, -1)
        return self.head(self.norm(torch.cat([learned, tokens], 1)).mean(1))


class Mixer(nn.Module):
    """Two linear layers over the tokens, beside the tokens themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm = nn.Conv2d(3, 8, 4, stride=4), nn.LayerNorm(8)
        self.first, self.act, self.second, self.out = nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16), nn.Identity()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        mixed = self.out(self.second(self.act(self.first(self.norm(tokens).transpose(1, 2)))))
        return self.head((tokens + mixed.transpose(1, 2)).mean(1))


class Sequences(nn.Module):
    """A recurrent layer and an attention layer, which return tuples, and heads split off the features."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.lstm = nn.Conv2d(3, 6, 4, stride=4), nn.LSTM(6, 8, batch_first=True)
        self.attention, self.heads = nn.MultiheadAttention(8, 2, batch_first=True), nn.Identity()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(self.patch(x).flatten(2).transpose(1, 2))
        x, _ = self.attention(x, x, x)
        return self.head(self.heads(x.unflatten(2, (2, 4)).transpose(1, 2)).transpose(1, 2).flatten(2).mean(1))


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(x)


class Codes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(1, keepdim=True)


class Positive(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x > 0


class NoNumbers(nn.Module):
    """Modules that return complex, whole and truth values, and maps of three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.volume, self.conv = nn.Conv3d(1, 3, 3, padding=1), nn.Conv2d(9, 6, 3)
        self.spectrum, self.codes, self.positive, self.head = Spectrum(), Codes(), Positive(), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.volume(x[:, None]).flatten(1, 2))
        x = x * self.positive(x) + self.codes(x) + self.spectrum(x).abs().mean((2, 3), keepdim=True)
        return self.head(x.mean((2, 3)))


class Random(nn.Module):
    """Dropout that does not follow the evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.dropout(self.conv(x), 0.5).mean((2, 3)))


class Overwritten(nn.Module):
    """A value that the backward pass needs is overwritten: torch can't go back from behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x))
        x[:, :2] = 7
        return self.head(x.mean((2, 3)))


class Detached(nn.Module):
    """Its first half runs without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.skip, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            blind = self.conv(x)
        return self.head((blind + self.skip(x)).mean((2, 3)))


class Excited(nn.Module):
    """Squeeze-and-excitation between convolutions: every position sees a little of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.after = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 6), nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.after(x * self.gate(x.mean((2, 3))).sigmoid()[:, :, None, None])
        return self.head(x.mean((2, 3)))


class Windows(nn.Module):
    """Every position of a window of 4 x 4 sees that window; then a convolution that doubles the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix, self.out = nn.Conv2d(3, 6, 1), nn.Linear(16, 16), nn.Conv2d(6, 6, 1)
        self.up, self.head = nn.ConvTranspose2d(6, 7, 2, stride=2), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, channels, rows, columns = x.shape
        windows = x.reshape(batch, channels, rows // 4, 4, columns // 4, 4).transpose(3, 4)
        mixed = self.mix(windows.flatten(4)).unflatten(4, (4, 4)).transpose(3, 4)
        return self.head(self.up(self.out(mixed.reshape(x.shape))).mean((2, 3)))


class Block(nn.Module):
    """Two convolutions and what they are added to."""

    def __init__(self, channels: int, *, residual: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 1)
        )
        self.drop, self.residual = nn.Dropout(0.1), residual

    def forward(self, x: Tensor) -> Tensor:
        made = self.drop(self.body(x))
        return x + made if self.residual else made


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.stage = nn.Sequential(Block(6, residual=False), Block(6, residual=True))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.stage(self.stem(x))).flatten(1))


class OwnWeights(nn.Module):
    """A product with the network's own weights, another one behind a volume, and products of activations."""

    def __init__(self) -> None:
        super().__init__()
        self.volume, self.flat, self.conv = nn.Conv3d(3, 2, (1, 3, 3)), nn.Identity(), nn.Conv2d(2, 6, 1)
        self.weight, self.act, self.softmax = nn.Parameter(torch.randn(6, 8)), nn.GELU(), nn.Softmax(-1)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.flat(self.volume(x[:, :, None]).flatten(1, 2))).flatten(2).transpose(1, 2)
        x = self.act(x @ self.weight)
        x = self.norm(self.softmax(x @ x.transpose(1, 2)) @ x)
        return self.head(x.mean(1))


class SequenceFirst(nn.Module):
    """A transformer and a recurrent layer whose tokens come before the images: (tokens, images, features)."""

    def __init__(self, side: int = 4) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, side, stride=side)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.norm, self.act = nn.LayerNorm(8), nn.GELU()
        self.attention = nn.MultiheadAttention(8, 2)
        self.mlp = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
        self.lstm = nn.LSTM(8, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).permute(2, 0, 1)
        tokens = torch.cat([self.class_token.expand(-1, len(x), -1), tokens])
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed)[0]
        tokens = self.act(self.block(tokens + self.mlp(tokens)))
        return self.head(self.lstm(tokens)[0][0])


class Folded(nn.Module):
    """A block that works on windows, which it folds into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.attend, self.head = nn.Conv2d(3, 6, 1), WindowBlock(), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attend(self.conv(x)).mean((2, 3)))


class WindowBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, rows, columns = x.shape
        windows = x.reshape(batch, channels, rows // 4, 4, columns // 4, 4).permute(0, 2, 4, 3, 5, 1)
        mixed = self.mix(self.norm(windows.reshape(-1, 16, channels)))
        windows = mixed.reshape(batch, rows // 4, columns // 4, 4, 4, channels)
        return x + windows.permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


class Latents(nn.Module):
    """As many learned queries as there are patches, which read the patches by plain products, as a Perceiver does."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.latents = (
            nn.Conv2d(3, 8, 4, stride=4),
            nn.LayerNorm(8),
            nn.Parameter(torch.randn(16, 8)),
        )
        self.values, self.read, self.mlp = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.normed, self.act, self.head = nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.patch(x).flatten(2).transpose(1, 2))
        latents = self.read(torch.softmax(self.latents @ tokens.transpose(1, 2), -1) @ self.values(tokens))
        latents = latents + self.latents
        latents = self.normed(latents + self.act(self.mlp(latents)))
        return self.head(latents.mean(1))


class Cells(nn.Module):
    """Reads its patches one after the other, by a cell that returns its output and its state."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.cell, self.head = nn.Conv2d(3, 6, 8, stride=8), nn.LSTMCell(6, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        state: tuple[Tensor, Tensor] | None = None
        for patch in self.patch(x).flatten(2).unbind(2):
            state = self.cell(patch, state)
        assert state is not None
        return self.head(state[0])  # type: ignore[no-any-return]


class TokenOrders(nn.Module):
    """Tokens that are patches row by row, and tokens in other orders, each behind a module of its own."""

    NAMES = (
        "rows", "with_class", "without_class", "columns", "class_last", "rolled", "pooled", "windows", "summed", "side",
        "last_rows", "first_rows", "every_fourth", "class_and_rows_off",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.class_token = nn.Conv2d(3, 8, 2, stride=2), nn.Parameter(torch.zeros(1, 1, 8))
        for name in self.NAMES:
            self.add_module(name, nn.LayerNorm(8))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.patch(x)
        tokens = maps.flatten(2).transpose(1, 2)
        class_token = self.class_token.expand(len(x), -1, -1)
        with_class = self.with_class(torch.cat([class_token, tokens], 1))
        windows = maps.unflatten(3, (2, 4)).unflatten(2, (2, 4)).permute(0, 2, 4, 3, 5, 1).flatten(1, 4)
        seen = [
            self.rows(tokens),
            with_class,
            self.without_class(with_class[:, 1:]),
            self.columns(maps.transpose(2, 3).flatten(2).transpose(1, 2)),
            self.class_last(torch.cat([tokens, class_token], 1)),
            self.rolled(tokens.roll(1, 1)),
            self.pooled(nn.functional.avg_pool1d(tokens.transpose(1, 2), 4).transpose(1, 2)),
            self.windows(windows),
            self.summed(windows + tokens),
            self.side(maps.mean(3).transpose(1, 2)[:, :4]),
            *(self.last_rows(tokens[:, 48:]), self.first_rows(tokens[:, :16]), self.every_fourth(tokens[:, ::4])),
            self.class_and_rows_off((with_class + with_class.relu())[:, 1 + 48 :]),
        ]
        return torch.stack([each.mean(1) for each in seen]).sum(0)


class Routed(nn.Module):
    """Experts that get the images which a router picks for them, in four ways, and a layer for all images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.router, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 3), nn.Linear(6, 5)
        self.by_truth, self.by_order, self.by_number, self.gathered = (nn.Linear(6, 6) for _ in range(4))
        self.all, self.last = nn.Identity(), nn.Identity()
        nn.init.zeros_(self.router.weight)  # one expert gets all

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).mean((2, 3))
        chosen = self.router(x).argmax(1)
        truth, order = chosen == chosen[0], chosen.argsort(stable=True)
        numbers = truth.nonzero()[:, 0]
        made = torch.zeros_like(x)
        made[truth] = self.by_truth(x[truth])
        made[order] = made[order] + self.by_order(x[order])
        made = made.index_add(0, numbers, self.by_number(x.index_select(0, numbers)))
        made = made.scatter(0, order[:, None].expand(-1, 6), self.gathered(x.gather(0, order[:, None].expand(-1, 6))))
        return self.head(self.last(made) + self.all(x[torch.arange(len(x))]))
