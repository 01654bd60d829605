"""The text encoder, and the attention stack that it shares with the flow (docs/network.md, 3 and 4).

Layout is [batch, channels, time] throughout; masks are [batch, 1, time] of ones and zeros.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import CLAP_WIDTH, WAV2VEC_WIDTH, SynthesizerConfig

WINDOW = 4  # relative positions -4..4 have embeddings of their own
SPEAKER_LAYER = 2  # the speaker enters before this layer's attention
MASKED_SCORE = -1e4  # what the networks were trained with; not minus infinity
REACHES = (4.0, 12.0, 36.0, 108.0)  # tokens: scales of the distance from a sentence's ends; a syllable has four


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.mT, self.gamma.shape, self.gamma, self.beta, 1e-5).mT


class RelativeAttention(nn.Module):
    """Self-attention with learned embeddings for the nine nearest relative positions (Shaw et al., 2018)."""

    def __init__(self, channels: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        width = channels // n_heads
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * WINDOW + 1, width) * width**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * WINDOW + 1, width) * width**-0.5)

    def forward(self, x: Tensor, pair_mask: Tensor) -> Tensor:
        """x [B, C, T], pair_mask [B, 1, T, T] -> [B, C, T]."""
        q, k, v = (self._heads(conv(x)) for conv in (self.conv_q, self.conv_k, self.conv_v))
        q = q / math.sqrt(q.shape[-1])
        scores = q @ k.mT + _band_to_square(q @ self.emb_rel_k.mT)
        weights = scores.masked_fill(pair_mask == 0, MASKED_SCORE).softmax(-1)
        out = weights @ v + _square_to_band(weights) @ self.emb_rel_v
        return self.conv_o(out.mT.flatten(1, 2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.n_heads, -1)).mT  # [B, heads, T, width]


def _band_to_square(band: Tensor) -> Tensor:
    """[..., T, 9] by offset s - t -> [..., T, T] by position s, zero outside the band.

    Writing row t into rows one longer than those read back shifts it by t: no index, no gather, any backend.
    """
    length = band.shape[-2]
    rows = F.pad(band, (0, length)).flatten(-2)[..., : length * (length + 2 * WINDOW)]
    return rows.unflatten(-1, (length, length + 2 * WINDOW))[..., WINDOW : WINDOW + length]


def _square_to_band(square: Tensor) -> Tensor:
    """The inverse: [..., T, T] by position -> [..., T, 9] by offset."""
    length = square.shape[-2]
    rows = F.pad(F.pad(square, (WINDOW, WINDOW)).flatten(-2), (0, length))
    return rows.unflatten(-1, (length, length + 2 * WINDOW + 1))[..., : 2 * WINDOW + 1]


class FeedForward(nn.Module):
    """Two convolutions with a ReLU between; the input of each is masked."""

    def __init__(self, channels: int, filter_channels: int, kernel: int) -> None:
        super().__init__()
        self.pad = ((kernel - 1) // 2, kernel // 2)
        self.conv_1 = nn.Conv1d(channels, filter_channels, kernel)
        self.conv_2 = nn.Conv1d(filter_channels, channels, kernel)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = torch.relu(self.conv_1(F.pad(x * mask, self.pad)))
        return self.conv_2(F.pad(x * mask, self.pad)) * mask


class AttentionStack(nn.Module):
    """Post-norm transformer; the speaker vector is added before the third layer."""

    def __init__(self, config: SynthesizerConfig, n_layers: int, kernel: int) -> None:
        super().__init__()
        hidden = config.hidden_channels
        self.spk_emb_linear = nn.Linear(config.gin_channels, hidden)
        self.attn_layers = nn.ModuleList(RelativeAttention(hidden, config.n_heads) for _ in range(n_layers))
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(hidden) for _ in range(n_layers))
        self.ffn_layers = nn.ModuleList(FeedForward(hidden, config.filter_channels, kernel) for _ in range(n_layers))
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(hidden) for _ in range(n_layers))

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """x [B, H, T], mask [B, 1, T], speaker [B, G, 1] -> [B, H, T]."""
        pair_mask = mask.unsqueeze(2) * mask.unsqueeze(-1)
        x = x * mask
        layers = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for i, (attend, norm_1, feed, norm_2) in enumerate(layers):
            if i == SPEAKER_LAYER:
                x = (x + self.spk_emb_linear(speaker.mT).mT) * mask
            x = norm_1(x + attend(x, pair_mask))
            x = norm_2(x + feed(x, mask))
        return x * mask


class _GatedMlp(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.c_fc1 = nn.Linear(channels, inner, bias=False)
        self.c_fc2 = nn.Linear(channels, inner, bias=False)
        self.c_proj = nn.Linear(inner, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.silu(self.c_fc1(x)) * self.c_fc2(x))


class _GatedResidual(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mlp = _GatedMlp(channels, inner)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


class CodeSearch(nn.Module):
    """Multi-head vector quantisation at inference: in each head the nearest row of its code book, as stored."""

    def __init__(self, channels: int, heads: int, codes: int, width: int, search: str) -> None:
        super().__init__()
        self.heads = heads
        self.cosine = search == "cosine"
        inner = heads * width
        self.project_in = nn.Linear(channels, inner) if inner != channels else nn.Identity()
        self.project_out = nn.Linear(inner, channels) if inner != channels else nn.Identity()
        self.codebook = nn.Parameter(torch.randn(heads, codes, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, C] -> output [B, C], code of each head [B, heads]."""
        heads = self.project_in(x).unflatten(-1, (self.heads, -1)).transpose(0, 1)  # [heads, B, width]
        if self.cosine:
            indices = (F.normalize(heads, dim=-1) @ self.codebook.mT).argmax(-1)
        else:
            indices = torch.cdist(heads, self.codebook, compute_mode="donot_use_mm_for_euclid_dist").argmin(-1)
        chosen = self.codebook[torch.arange(self.heads, device=x.device)[:, None], indices]
        return self.project_out(chosen.transpose(0, 1).flatten(1)), indices.T


def places(mask: Tensor) -> Tensor:
    """Mask [B, 1, T] -> how near each token is to the sentence's begin and end [B, T, 2 * REACHES]: 1 there, and less
    with the distance on several scales. Relative attention sees a syllable far; pitch falls through a sentence."""
    count = mask[:, 0].float().cumsum(-1)
    distances = torch.stack((count - 1, count[:, -1:] - count), dim=-1)  # [B, T, 2]
    return torch.cat([(-distances / reach).exp() for reach in REACHES], dim=-1)


class TextEncoder(nn.Module):
    """Phones, tones, languages, BERT features and emotion -> hidden states and the prior's parameters."""

    def __init__(self, config: SynthesizerConfig) -> None:
        super().__init__()
        variant, hidden = config.variant, config.hidden_channels
        self.scale = math.sqrt(hidden)
        self.emotion_kind = variant.emotion
        self.emb = nn.Embedding(variant.symbols, hidden)
        self.tone_emb = nn.Embedding(variant.tones, hidden)
        self.language_emb = nn.Embedding(variant.languages, hidden)
        self.slots = tuple(name for name, _ in variant.bert)
        for name, width in variant.bert:
            self.add_module(f"{name}_proj", nn.Conv1d(width, hidden, 1))
        if variant.bert_pre:
            self.bert_pre_proj = nn.Conv1d(variant.bert_pre, variant.bert[0][1], 1)
        if variant.emotion == "clap":
            activation = nn.SiLU() if variant.emotion_activation == "silu" else nn.GELU()
            self.in_feature_net = nn.Sequential(
                nn.Linear(CLAP_WIDTH, 1028, bias=False),  # 1028 is no misprint
                activation,
                nn.LayerNorm(1028),
                _GatedResidual(1028, 512),
                nn.Linear(1028, 512, bias=False),
            )
            self.emo_vq = CodeSearch(512, 32, variant.codes, variant.code_width, variant.code_search)
            self.out_feature_net = nn.Linear(512, hidden)
        elif variant.emotion == "codes":
            self.emo_proj = nn.Linear(WAV2VEC_WIDTH, WAV2VEC_WIDTH)
            if variant.codes:  # the first release with this input never saved them
                self.emo_quantizer = CodeSearch(
                    WAV2VEC_WIDTH, 1, variant.codes, variant.code_width, variant.code_search
                )
            self.emo_q_proj = nn.Linear(WAV2VEC_WIDTH, hidden)
        elif variant.emotion == "table":
            self.emo_emb = nn.Embedding(len(config.emotions), hidden)
        self.place = nn.Linear(2 * len(REACHES), hidden, bias=False) if config.words else None
        self.encoder = AttentionStack(config, config.n_layers, config.kernel_size)
        self.proj = nn.Conv1d(hidden, 2 * config.inter_channels, 1)

    def emotion(self, emotion: Tensor) -> Tensor:
        """What is added to every token [B, H], of a CLAP vector [B, 512], a wav2vec vector [B, 1024], or weights over
        the voice's own emotions [B, E] (E = 0 for a voice of v2.1 that has no codes)."""
        if self.emotion_kind == "table":
            return emotion @ self.emo_emb.weight
        if self.emotion_kind == "clap":
            quantised, _ = self.emo_vq(self.in_feature_net(emotion))
            return self.out_feature_net(quantised)
        if emotion.shape[-1] == WAV2VEC_WIDTH:
            vector = self.emo_proj(emotion)
            if hasattr(self, "emo_quantizer"):
                vector, _ = self.emo_quantizer(vector)
        elif hasattr(self, "emo_quantizer"):
            vector = emotion @ self.emo_quantizer.codebook[0]
        else:
            vector = emotion.new_zeros(len(emotion), WAV2VEC_WIDTH)
        return self.emo_q_proj(vector)

    def embed(
        self, phones: Tensor, tones: Tensor, languages: Tensor, mask: Tensor, bert: tuple[Tensor, ...], emotion: Tensor
    ) -> Tensor:
        """-> encoder input [B, H, T]: the factor sqrt(H) multiplies every term.

        languages: of a voice whose config says `words`, 1 where a word begins and 0 elsewhere, as it has one language.
        """
        x = self.emb(phones) + self.tone_emb(tones) + self.language_emb(languages)
        for name, feature in zip(self.slots, bert, strict=True):
            if name == "bert" and hasattr(self, "bert_pre_proj"):
                feature = self.bert_pre_proj(feature)
            x = x + self.get_submodule(f"{name}_proj")(feature).mT
        if self.emotion_kind != "none":
            x = x + self.emotion(emotion).unsqueeze(1)
        if self.place is not None:
            x = x + self.place(places(mask).to(x.dtype))
        return (x * self.scale).mT * mask

    def forward(
        self,
        phones: Tensor,
        tones: Tensor,
        languages: Tensor,
        mask: Tensor,
        bert: tuple[Tensor, ...],
        emotion: Tensor,
        speaker: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ids [B, T], mask [B, 1, T], BERT features [B, width, T] by slot, speaker [B, G, 1]
        -> hidden states [B, H, T], prior mean and log standard deviation [B, I, T]."""
        x = self.encoder(self.embed(phones, tones, languages, mask, bert, emotion), mask, speaker)
        mean, log_std = (self.proj(x) * mask).chunk(2, dim=1)
        return x, mean, log_std
