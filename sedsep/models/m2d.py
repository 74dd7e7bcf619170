"""M2D: a vision transformer over log-mel patches (Niizumi et al. 2024; sizes of the published AudioSet models).

Axes: B batch, L samples, U units, T mel frames, Q mel bands, P tokens, G patches along frequency, W patches along
time, C channels, D embedding width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torchaudio.functional as AF
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sedsep.dsp import Stft, resample
from sedsep.errors import UserError
from sedsep.modules.vit import LAYER_NORM_EPS, Block

LARGEST_BASIS = 2**26
"""Weights from bins to bands; the largest published front end has a thousandth of it."""
LOG_EPS = torch.finfo(torch.float32).eps


class LogMel(nn.Module):
    """Standardised log-mel spectrogram: Slaney bands and area normalisation, log(power + eps), (x - mean) / std.

    Args:
        input_rate: Hz of the waveform.
        sample_rate: Hz that it is resampled to (Kaiser-windowed sinc).
        n_fft: samples of a window.
        hop: samples between windows.
        n_mels: bands Q.
        f_min: lower end of the lowest band, Hz.
        f_max: upper end of the highest band, Hz.
        mean: of the log-mel values.
        std: of the log-mel values.

    Raises:
        UserError: a band holds no bin of the spectrum, or there are endlessly many.
    """

    mel_basis: Tensor

    def __init__(
        self,
        input_rate: int,
        sample_rate: int,
        n_fft: int,
        hop: int,
        n_mels: int,
        f_min: float,
        f_max: float,
        mean: float,
        std: float,
    ) -> None:
        super().__init__()
        self.input_rate, self.sample_rate, self.mean, self.std = input_rate, sample_rate, mean, std
        self.stft = Stft(n_fft, hop)
        if self.stft.bins * n_mels > LARGEST_BASIS:
            raise UserError(f"n_mels={n_mels} bands of n_fft={n_fft} fit no memory: lower one of them.")
        with torch.device("cpu"):  # its values are looked at, so never merely declared
            basis = AF.melscale_fbanks(self.stft.bins, f_min, f_max, n_mels, sample_rate, "slaney", "slaney")
        if not basis.any(dim=0).all():
            raise UserError(
                f"Some of the {n_mels} mel bands from {f_min} to {f_max} Hz hold no bin of n_fft={n_fft} at "
                f"{sample_rate} Hz: keep f_max within half that rate, lower n_mels or raise n_fft."
            )
        self.register_buffer("mel_basis", basis, persistent=False)
        self.bins = int(basis.any(dim=1).nonzero().max()) + 1  # the ones above are in no band

    def forward(self, waveform_bl: Tensor) -> Tensor:
        """Waveform [B, L] at the input rate to [B, Q, T]."""
        with torch.autocast(waveform_bl.device.type, enabled=False):
            x = resample(waveform_bl.float(), self.input_rate, self.sample_rate, "sinc_interp_kaiser")
            power_btf = self.stft(x)[..., : self.bins].abs().square()  # rounds as the original's, which silence shows
            mel_btq = power_btf @ self.mel_basis[: self.bins]
            return ((mel_btq + LOG_EPS).log() - self.mean).transpose(1, 2) / self.std


class M2d(nn.Module):
    """The backbone: log-mel patches through a transformer.

    Longer input than one unit is encoded unit by unit and joined in time.

    Args:
        frontend: the log-mel spectrogram.
        unit_frames: mel frames of one unit, the span of the positional grid.
        patch: (frequency, time) size of a patch.
        width: D.
        depth: blocks.
        heads: attention heads.
        mlp_ratio: MLP width / D.
        stem: channels of convolutions before the patch embedding, each of which halves frequency and time, after a
            norm of each band. A network that starts from nothing learns in fewer steps with them (Xiao et al. 2021,
            Early Convolutions Help Transformers See Better); the published ones have none.
        flat: average the tokens of a time step instead of joining them: `features` are D instead of G * D, as
            heads on M2D's flat features expect.

    Raises:
        UserError: the bands do not divide into patches, a unit is shorter than a patch, patches cannot be halved as
            often as the stem does, or D does not divide into heads.
    """

    def __init__(
        self,
        frontend: LogMel,
        unit_frames: int,
        patch: tuple[int, int],
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        stem: Sequence[int] = (),
        flat: bool = False,
    ) -> None:
        super().__init__()
        n_mels = frontend.mel_basis.shape[1]
        if n_mels % patch[0] or unit_frames < patch[1] or width % heads:
            raise UserError(
                f"The SED model's sizes do not fit: n_mels={n_mels} must be a multiple of patch[0]={patch[0]}, "
                f"unit_frames={unit_frames} at least patch[1]={patch[1]}, width={width} a multiple of heads={heads}."
            )
        halved = 2 ** len(stem)
        if patch[0] % halved or patch[1] % halved:
            raise UserError(
                f"The SED model's sizes do not fit: stem={list(stem)} halves both axes {len(stem)} times, so "
                f"patch={list(patch)} must be multiples of {halved}."
            )
        self.frontend = frontend
        self.unit_frames = unit_frames
        self.patch = (int(patch[0]), int(patch[1]))
        self.grid = (n_mels // patch[0], unit_frames // patch[1])
        self.width = width
        self.layers = depth + 1  # with the patch embedding
        self.flat, self.features = flat, width if flat else self.grid[0] * width
        channels = (1, *stem)
        self.band_norm = nn.BatchNorm1d(n_mels) if stem else nn.Identity()
        self.stem = nn.Sequential(*(_halving(*pair) for pair in pairwise(channels)))
        rest = (self.patch[0] // halved, self.patch[1] // halved)
        self.patch_embed = nn.Conv2d(channels[-1], width, rest, stride=rest)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.checkpoint = False  # whether blocks run again in the backward pass, and only what leads into them is kept
        # Truncated normals of deviation 0.02 and zero biases, as transformers are started from scratch.
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.weight.view(self.width, -1))

    def forward(
        self, waveform_bl: Tensor, layers: bool = False, warp: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Encode clips.

        Args:
            waveform_bl: [B, L] at the input rate.
            layers: also return the patch embedding and each block's output.
            warp: augments the mel spectrogram [B, Q, T] in training.

        Returns:
            The frame sequence [B, W, G * D], frequency-major, or [B, W, D] where it is flat, and the layer features,
            each [B, G * W, D].
        """
        mel_bqt = self.frontend(waveform_bl)
        if warp is not None:
            mel_bqt = warp(mel_bqt)
        units = [self.unit(unit, layers) for unit in mel_bqt.split(self.unit_frames, dim=2)]
        final_bgwd = torch.cat([final for final, _ in units], dim=2)
        sequence = final_bgwd.mean(1) if self.flat else final_bgwd.transpose(1, 2).flatten(2)
        joined = [torch.cat(parts, dim=2).flatten(1, 2) for parts in zip(*(inner for _, inner in units), strict=True)]
        return sequence, joined

    def unit(self, mel_bqt: Tensor, layers: bool) -> tuple[Tensor, list[Tensor]]:
        """One unit [B, Q, T] to its final tokens and layer features, each [B, G, W, D]."""
        if not torch.compiler.is_exporting() and mel_bqt.shape[2] < self.unit_frames:
            mel_bqt = nn.functional.pad(mel_bqt, (0, -mel_bqt.shape[2] % self.patch[1]))
        patches_bdgw = self.patch_embed(self.stem(self.band_norm(mel_bqt)[:, None]))
        patches_bdgw = patches_bdgw.narrow(3, 0, torch.sym_min(patches_bdgw.shape[3], self.grid[1]))
        grid = patches_bdgw.shape[2:]
        embedded_bpd = patches_bdgw.flatten(2).transpose(1, 2)
        positions = self.pos_embed[:, 1:].unflatten(1, self.grid).narrow(2, 0, grid[1]).flatten(1, 2)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(embedded_bpd.shape[0], -1, -1)
        x = torch.cat([cls, embedded_bpd + positions], dim=1)
        inner = [embedded_bpd]
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpoint and x.requires_grad else block(x)
            inner.append(x[:, 1:])
        final = self.norm(x)[:, 1:].unflatten(1, grid)
        return final, [tokens.unflatten(1, grid) for tokens in inner] if layers else []

    def stages(self) -> list[list[nn.Parameter]]:
        """Parameters by depth, for layer-wise learning rates: embeddings with the first block, ..., the last block
        with the final norm."""
        stages = [list(block.parameters()) for block in self.blocks]
        stages[0] += [self.cls_token, self.pos_embed]
        for embedding in (self.band_norm, self.stem, self.patch_embed):
            stages[0] += list(embedding.parameters())
        stages[-1] += list(self.norm.parameters())
        return stages


def _halving(channels: int, out_channels: int) -> nn.Sequential:
    """A convolution that halves both axes, [B, C, Q, T] to [B, C', ceil(Q / 2), ceil(T / 2)]."""
    convolution = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.GELU())
