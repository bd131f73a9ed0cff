"""The suite's models of images, and its decoder, in PyTorch, as a careful user would write them.

Modules carry the names that netlang gives the same layers, so that weights cross over by name.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class MLP(nn.Module):
    """784-512-512-10 with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.ModuleList([nn.Linear(784, 512), nn.Linear(512, 512)])
        self.linear_2 = nn.Linear(512, 10)

    def forward(self, image: Tensor) -> Tensor:
        """f32[batch, 784] -> f32[batch, 10]."""
        for layer in self.linear:
            image = F.relu(layer(image))
        return self.linear_2(image)


class LeNet5(nn.Module):
    """LeCun et al. 1998, with a dense output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(1, 6, 5)
        self.conv2d_2 = nn.Conv2d(6, 16, 5)
        self.conv2d_3 = nn.Conv2d(16, 120, 5)
        self.linear = nn.Linear(120, 84)
        self.linear_2 = nn.Linear(84, 10)

    def forward(self, image: Tensor) -> Tensor:
        """f32[batch, 1, 32, 32] -> f32[batch, 10]."""
        x = F.avg_pool2d(self.conv2d(image).tanh(), 2)
        x = F.avg_pool2d(self.conv2d_2(x).tanh(), 2)
        x = self.conv2d_3(x).tanh().flatten(1)
        return self.linear_2(self.linear(x).tanh())


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a skip connection, projected where the shape changes. He et al. 2015."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential()
        self.body.convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.body.batch_norm = nn.BatchNorm2d(outputs)
        self.body.relu = nn.ReLU(inplace=True)
        self.body.convolution_2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.body.batch_norm_2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.skip.convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.skip.batch_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, inputs, h, w] -> f32[b, outputs, h / stride, w / stride]."""
        return F.relu(self.body(x) + self.skip(x), inplace=True)


class Stage(nn.Module):
    """Blocks of the same size, the first of which may halve the image."""

    def __init__(self, inputs: int, outputs: int, stride: int, blocks: int) -> None:
        super().__init__()
        others = (BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1))
        self.basic_block = nn.Sequential(BasicBlock(inputs, outputs, stride), *others)

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, inputs, h, w] -> f32[b, outputs, h / stride, w / stride]."""
        return self.basic_block(x)


class ResNet20(nn.Module):
    """He et al. 2015 for small images: three stages of three blocks with 16, 32 and 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(16)
        self.stage = Stage(16, 16, 1, 3)
        self.stage_2 = Stage(16, 32, 2, 3)
        self.stage_3 = Stage(32, 64, 2, 3)
        self.linear = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """f32[batch, 3, h, w] -> f32[batch, 10]."""
        x = F.relu(self.batch_norm(self.convolution(image)), inplace=True)
        x = self.stage_3(self.stage_2(self.stage(x)))
        return self.linear(x.mean((2, 3)))


class ResNet18(nn.Module):
    """He et al. 2015 for images of 224×224: four stages of two blocks with 64 to 512 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.batch_norm = nn.BatchNorm2d(64)
        self.stage = Stage(64, 64, 1, 2)
        self.stage_2 = Stage(64, 128, 2, 2)
        self.stage_3 = Stage(128, 256, 2, 2)
        self.stage_4 = Stage(256, 512, 2, 2)
        self.linear = nn.Linear(512, 1000)

    def forward(self, image: Tensor) -> Tensor:
        """f32[batch, 3, 224, 224] -> f32[batch, 1000]."""
        x = F.relu(self.batch_norm(self.convolution(image)), inplace=True)
        x = self.stage(F.max_pool2d(x, 3, 2, 1))
        x = self.stage_4(self.stage_3(self.stage_2(x)))
        return self.linear(x.mean((2, 3)))


class Attention(nn.Module):
    """Causal multi-head self-attention by PyTorch's fused kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(width, 3 * width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, t, d] -> f32[b, t, d]."""
        b, t, d = x.shape
        q, k, v = self.linear(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.linear_2(y.transpose(1, 2).reshape(b, t, d))


class GPTBlock(nn.Module):
    """Attention and a feed-forward network, each normalised first and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.layer_norm_2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, t, d] -> f32[b, t, d]."""
        x = x + self.attention(self.layer_norm(x))
        return x + self.contract(F.gelu(self.expand(self.layer_norm_2(x))))


class GPT(nn.Module):
    """A causal decoder with learned positions; the output table is the input table. Radford et al. 2019."""

    def __init__(self, vocab: int, d: int, layers: int, h: int, context: int) -> None:
        super().__init__()
        self.tokens_table = nn.Embedding(vocab, d)
        self.learned_positions = nn.Embedding(context, d)
        self.gpt_block = nn.ModuleList([GPTBlock(d, h) for _ in range(layers)])
        self.layer_norm = nn.LayerNorm(d)

    def forward(self, tokens: Tensor) -> Tensor:
        """i64[batch, t] -> f32[batch, t, vocab]."""
        x = self.tokens_table(tokens) + self.learned_positions.weight[: tokens.shape[1]]
        for block in self.gpt_block:
            x = block(x)
        return F.linear(self.layer_norm(x), self.tokens_table.weight)
