"""Examples with the spectra of natural ones, drawn from a seed: no download, no flat images."""

from __future__ import annotations

from functools import partial

import numpy as np

from tests.conformance.networks.style import Examples


def photos(height: int, width: int, channels: int = 3) -> Examples:
    """Images whose spectrum falls with the frequency, as that of photos, with shapes on them.

    Source: Field 1987, Relations between the statistics of natural images, JOSA A 4:2379.

    Returns:
        Function to uint8 ``[count, height, width, channels]``; grey ones have one channel.
    """
    return partial(_photos, height, width, channels)


def maps(time: int, frequency: int) -> Examples:
    """Log-mel maps: float32 ``[count, time, frequency]``, around -5 with a deviation of 3."""
    return partial(_maps, time, frequency)


def vectors(features: int, *, spread: float = 1.0) -> Examples:
    """Correlated features with means of their own: float32 ``[count, features]``."""
    return partial(_vectors, features, spread)


def with_axis(examples: Examples) -> Examples:
    """The same examples with a last axis of one channel."""
    return lambda count, seed: examples(count, seed)[..., None]


def _photos(height: int, width: int, channels: int, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    luminance = _falling(rng, (count, height, width))[..., None]
    colour = np.stack([_falling(rng, (count, height, width)) for _ in range(channels)], axis=-1)
    mixed = luminance + 0.5 * colour * (channels > 1)
    contrast = rng.uniform(25, 70, (count, 1, 1, 1))
    brightness = rng.uniform(80, 170, (count, 1, 1, channels))
    images = brightness + contrast * mixed
    for image in images:
        top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
        tall, wide = rng.integers(1, height // 2 + 1), rng.integers(1, width // 2 + 1)
        image[top : top + tall, left : left + wide] += rng.normal(0, 50, channels)
    rounded: np.ndarray = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    return rounded


def _falling(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Noise ``[count, height, width]`` of unit variance whose amplitude falls as 1 / frequency."""
    _, height, width = shape
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    amplitude = 1 / np.maximum(frequencies, 1 / max(height, width))
    amplitude[0, 0] = 0
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * amplitude, s=(height, width))
    result: np.ndarray = noise / noise.std(axis=(1, 2), keepdims=True)
    return result


def _maps(time: int, frequency: int, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    slope = np.linspace(1.5, -1.5, frequency)
    values = -5 + 3 * (_falling(rng, (count, time, frequency)) + slope)
    return values.astype(np.float32)


def _vectors(features: int, spread: float, count: int, seed: int) -> np.ndarray:
    fixed = np.random.default_rng(features)  # means and correlations are those of every split
    factors = fixed.normal(size=(8, features))
    means, scales = fixed.normal(size=features), np.exp(spread * fixed.normal(size=features))
    rng = np.random.default_rng(seed)
    noise = 0.5 * rng.normal(size=(count, features))
    values = means * scales + scales * (rng.normal(size=(count, 8)) @ factors / np.sqrt(8) + noise)
    return values.astype(np.float32)
