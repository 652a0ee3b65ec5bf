"""From linear light to the picture that a camera would store: exposure, white balance, lens, noise and tone curve."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from likeness.synthesis.filters import gaussian

_LUMINANCE = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class Development:
    """What a camera does to light; the defaults do nothing but the tone curve.

    gains (3,): error of white balance, RGB. vignette 0..1: darkening at the corners. blur_px: the lens's spread,
    standard deviation. noise: standard deviation of grain at mid grey, linear. sharpen: amount of unsharp masking.
    contrast: 1 keeps the curve, more steepens mid tones. saturation: 1 keeps colours.
    """

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignette: float = 0.0
    blur_px: float = 0.0
    noise: float = 0.0
    sharpen: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0


def draw_development(generator: torch.Generator) -> Development:
    """A random telephone, webcam or depth camera's colour picture, mostly a decent one."""
    device = generator.device

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator, device=device))

    warm, tint = uniform(-1, 1), uniform(-1, 1)
    # Squares: most pictures have little of it, some have much.
    return Development(
        gains=(1 + 0.07 * warm, 1 + 0.025 * tint, 1 - 0.09 * warm),
        vignette=0.3 * uniform(0, 1) ** 2,
        blur_px=0.15 + 0.75 * uniform(0, 1) ** 2,
        noise=0.002 + 0.022 * uniform(0, 1) ** 3,
        sharpen=0.9 * uniform(0, 1) ** 2,
        contrast=uniform(0.92, 1.18),
        saturation=uniform(0.85, 1.12),
    )


def develop(
    linear: torch.Tensor,
    exposure: float = 1.0,
    *,
    generator: torch.Generator | None = None,
    development: Development | None = None,
) -> torch.Tensor:
    """Linear light (H, W, 3) f32 as an sRGB picture (H, W, 3) u8 on the same device.

    exposure: factor to light, 1 stores radiance 1 near white. development: what the camera does; drawn from
    `generator` (on the tensor's device) if absent. Without a generator there is no noise.
    """
    if development is None:
        development = Development() if generator is None else draw_development(generator)
    light = linear.clamp(min=0) * (exposure * torch.tensor(development.gains, device=linear.device))
    if development.vignette > 0:
        light = light * _vignette(light, development.vignette)
    if development.blur_px > 0:
        light = blurred(light, development.blur_px)
    if development.noise > 0 and generator is not None:
        light = (light + _grain(light, development.noise, generator)).clamp(min=0)
    coded = _toned(light, development)
    if development.sharpen > 0:
        coded = coded + development.sharpen * (coded - blurred(coded, 1.0))
    return (coded.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def srgb(light: torch.Tensor) -> torch.Tensor:
    """Linear 0..1 to the sRGB code 0..1."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=1e-8) ** (1 / 2.4) - 0.055)


def _toned(light: torch.Tensor, development: Development) -> torch.Tensor:
    """Soft shoulder, so that bright windows do not clip hard; then contrast about mid grey, and saturation."""
    knee = 0.55
    over = (light - knee).clamp(min=0) / (1 - knee)
    light = torch.where(light > knee, knee + (1 - knee) * (1 - torch.exp(-over)), light)
    coded = srgb(light)
    if development.contrast != 1:
        pivot = 0.46
        low = coded < pivot
        share = torch.where(low, coded / pivot, (1 - coded) / (1 - pivot)).clamp(min=0) ** development.contrast
        coded = torch.where(low, pivot * share, 1 - (1 - pivot) * share)
    if development.saturation != 1:
        grey = (coded * torch.tensor(_LUMINANCE, device=coded.device)).sum(-1, keepdim=True)
        coded = grey + development.saturation * (coded - grey)
    return coded


def _vignette(light: torch.Tensor, amount: float) -> torch.Tensor:
    """Factors (H, W, 1) that fall from 1 in the middle to 1 - amount in the corners."""
    height, width = light.shape[:2]
    y = torch.linspace(-1, 1, height, device=light.device)[:, None] * (height / (height**2 + width**2) ** 0.5)
    x = torch.linspace(-1, 1, width, device=light.device)[None] * (width / (height**2 + width**2) ** 0.5)
    return (1 - amount * (x * x + y * y))[..., None]


def _grain(light: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Noise (H, W, 3) that grows with the root of light, a little smooth and coloured as demosaicking leaves it."""
    shape = light.shape
    white = torch.randn(shape, generator=generator, device=light.device)
    white = 0.7 * white + 0.7 * torch.randn((*shape[:2], 1), generator=generator, device=light.device)
    # Blurring takes away most of the power: give it back.
    smooth = blurred(white, 0.5) * 1.5
    return smooth * amount * torch.sqrt(light / 0.18 + 0.05)


def blurred(picture: torch.Tensor, sigma: float) -> torch.Tensor:
    """A picture (H, W, C) through a Gaussian of `sigma` pixels, its border repeated."""
    return gaussian(picture.permute(2, 0, 1)[None], sigma)[0].permute(1, 2, 0)
