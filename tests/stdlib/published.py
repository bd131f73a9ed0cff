"""Networks in plain PyTorch whose weights have the names under which they are published."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """A block of ResNet, basic or a bottleneck, as in torchvision."""

    def __init__(self, i: int, c: int, stride: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        narrow = c // 4 if len(kernels) == 3 else c
        sizes = [i, *[narrow] * (len(kernels) - 1), c]
        for n, kernel in enumerate(kernels, 1):
            step = stride if n == (2 if len(kernels) == 3 else 1) else 1
            self.add_module(f"conv{n}", nn.Conv2d(sizes[n - 1], sizes[n], kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{n}", nn.BatchNorm2d(sizes[n]))
        self.count = len(kernels)
        if stride > 1 or i != c:
            self.downsample = nn.Sequential(nn.Conv2d(i, c, 1, stride, bias=False), nn.BatchNorm2d(c))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for n in range(1, self.count + 1):
            y = self.get_submodule(f"bn{n}")(self.get_submodule(f"conv{n}")(y))
            y = y if n == self.count else y.relu()
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class ResNet(nn.Module):
    """ResNet as in torchvision: 18 layers of basic blocks, or 50 of bottlenecks."""

    def __init__(self, layers: int, classes: int) -> None:
        super().__init__()
        kernels, counts, wide = ((3, 3), (2, 2, 2, 2), 64) if layers == 18 else ((1, 3, 1), (3, 4, 6, 3), 256)
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        i = 64
        for n, count in enumerate(counts):
            c = wide * 2**n
            strides = [2 if n else 1, *[1] * (count - 1)]
            blocks = [Block(i if b == 0 else c, c, stride, kernels) for b, stride in enumerate(strides)]
            self.add_module(f"layer{n + 1}", nn.Sequential(*blocks))
            i = c
        self.fc = nn.Linear(i, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.max_pool2d(self.bn1(self.conv1(image)).relu(), 3, 2, 1)
        for n in range(1, 5):
            x = self.get_submodule(f"layer{n}")(x)
        return self.fc(x.mean((2, 3)))


class Conv1D(nn.Module):
    """GPT-2's linear layer, whose weight is the transpose of PyTorch's."""

    def __init__(self, i: int, out: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(0.1 * torch.randn(i, out)), nn.Parameter(0.1 * torch.randn(out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class GPT2(nn.Module):
    """GPT-2 as published by Hugging Face, the causal mask among the buffers as in the older files."""

    def __init__(self, vocab: int, d: int, layers: int, h: int, context: int) -> None:
        super().__init__()
        self.heads = h
        self.wte, self.wpe = nn.Embedding(vocab, d), nn.Embedding(context, d)
        self.h = nn.ModuleList(self._block(d, context) for _ in range(layers))
        self.ln_f = nn.LayerNorm(d)

    @staticmethod
    def _block(d: int, context: int) -> nn.ModuleDict:
        attention = nn.ModuleDict({"c_attn": Conv1D(d, 3 * d), "c_proj": Conv1D(d, d)})
        attention.register_buffer("bias", torch.ones(1, 1, context, context).tril())
        mlp = nn.ModuleDict({"c_fc": Conv1D(d, 4 * d), "c_proj": Conv1D(4 * d, d)})
        return nn.ModuleDict({"ln_1": nn.LayerNorm(d), "attn": attention, "ln_2": nn.LayerNorm(d), "mlp": mlp})

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.h:
            assert isinstance(block, nn.ModuleDict)
            attn, mlp = block["attn"], block["mlp"]
            assert isinstance(attn, nn.ModuleDict) and isinstance(mlp, nn.ModuleDict)
            q, k, v = attn["c_attn"](block["ln_1"](x)).chunk(3, -1)
            x = x + attn["c_proj"](attended(q, k, v, self.heads, causal=True))
            x = x + mlp["c_proj"](functional.gelu(mlp["c_fc"](block["ln_2"](x)), approximate="tanh"))
        return self.ln_f(x) @ self.wte.weight.T


def attended(q: Tensor, k: Tensor, v: Tensor, heads: int, causal: bool) -> Tensor:
    """Attention of several heads, each a share of the last axis."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)


def modules(**parts: nn.Module) -> nn.ModuleDict:
    """Modules by name."""
    return nn.ModuleDict(parts)


class BERT(nn.Module):
    """BERT with both of its heads, as published by Hugging Face; the table of the output is that of the words."""

    def __init__(self, vocab: int, d: int, layers: int, h: int, context: int) -> None:
        super().__init__()
        self.heads = h
        embeddings = modules(
            word_embeddings=nn.Embedding(vocab, d),
            position_embeddings=nn.Embedding(context, d),
            token_type_embeddings=nn.Embedding(2, d),
            LayerNorm=nn.LayerNorm(d, 1e-12),
        )
        encoder = modules(layer=nn.ModuleList(self._layer(d) for _ in range(layers)))
        self.bert = modules(embeddings=embeddings, encoder=encoder, pooler=modules(dense=nn.Linear(d, d)))
        predictions = modules(transform=modules(dense=nn.Linear(d, d), LayerNorm=nn.LayerNorm(d, 1e-12)))
        predictions.register_parameter("bias", nn.Parameter(torch.randn(vocab)))
        self.cls = modules(predictions=predictions, seq_relationship=nn.Linear(d, 2))

    @staticmethod
    def _layer(d: int) -> nn.ModuleDict:
        return modules(
            attention=modules(
                self=modules(query=nn.Linear(d, d), key=nn.Linear(d, d), value=nn.Linear(d, d)),
                output=modules(dense=nn.Linear(d, d), LayerNorm=nn.LayerNorm(d, 1e-12)),
            ),
            intermediate=modules(dense=nn.Linear(d, 4 * d)),
            output=modules(dense=nn.Linear(4 * d, d), LayerNorm=nn.LayerNorm(d, 1e-12)),
        )

    def forward(self, tokens: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        part = self.get_submodule
        words = part("bert.embeddings.word_embeddings")
        x = words(tokens) + part("bert.embeddings.token_type_embeddings")(segments)
        x = x + part("bert.embeddings.position_embeddings").weight[: tokens.shape[1]]
        x = part("bert.embeddings.LayerNorm")(x)
        for n in range(len(part("bert.encoder.layer"))):
            x = self._encoded(x, f"bert.encoder.layer.{n}")
        guess = functional.gelu(part("cls.predictions.transform.dense")(x))
        logits = part("cls.predictions.transform.LayerNorm")(guess) @ words.weight.T + self.cls["predictions"].bias
        return logits, part("cls.seq_relationship")(part("bert.pooler.dense")(x[:, 0]).tanh())

    def _encoded(self, x: Tensor, layer: str) -> Tensor:
        def part(name: str) -> nn.Module:
            return self.get_submodule(f"{layer}.{name}")

        q, k, v = (part(f"attention.self.{name}")(x) for name in ("query", "key", "value"))
        y = part("attention.output.dense")(attended(q, k, v, self.heads, causal=False))
        x = part("attention.output.LayerNorm")(x + y)
        y = part("output.dense")(functional.gelu(part("intermediate.dense")(x)))
        return part("output.LayerNorm")(x + y)
