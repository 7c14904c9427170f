"""C++ code for the input of a network: its sizes, and how an example becomes the int8 tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration_data.channels import plain_channels
from calibration_data.preprocessing import ChannelOrder, Preprocessing

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class CInput:
    """Names and code of an input in the sources of a bundle.

    Attributes:
        contract: preprocessing of the application.
    """

    contract: Preprocessing

    @property
    def buffer(self) -> str:
        """Name of the array that ``FillInput`` reads."""
        if self.contract.plain:
            return "values"
        return "rgb" if self.contract.is_colour else "pixels"

    @property
    def element(self) -> str:
        """C++ type of one number of that array."""
        return "float" if self.contract.plain else "std::uint8_t"

    @property
    def size(self) -> str:
        """Name of the constant with the number of its elements."""
        return "kInputSize" if self.contract.plain else "kImageSize"

    @property
    def vectors(self) -> str:
        """Name of the test vectors."""
        return "kVectorValues" if self.contract.plain else "kVectorPixels"

    @property
    def what(self) -> str:
        """The array in words, with its shape: ``RGB pixels [height][width][3]``."""
        if self.contract.plain:
            return "values " + "".join(f"[{side}]" for side in self.contract.shape)
        count = self.contract.channel_count
        kind = "RGB" if self.contract.is_colour else "grey" if count == 1 else f"{count}-channel"
        return f"{kind} pixels [height][width][{count}]"

    @property
    def includes(self) -> list[str]:
        """Standard headers that the code needs."""
        return ["cmath", "cstdint"] if self.contract.plain else ["cstdint"]

    def sizes(self) -> list[str]:
        """Lines with the constants of the shape."""
        if self.contract.plain:
            product = " * ".join(str(side) for side in self.contract.shape)
            return [f"inline constexpr int kInputSize = {product};"]
        height, width = self.contract.size
        return [
            f"inline constexpr int kImageHeight = {height};",
            f"inline constexpr int kImageWidth = {width};",
            f"inline constexpr int kImageChannels = {self.contract.channel_count};",
            "inline constexpr int kImageSize = kImageHeight * kImageWidth * kImageChannels;",
        ]

    def numbers(self) -> list[str]:
        """Lines with mean and std."""
        contract = self.contract
        trained = (
            "(value - mean) / std, along the last axis"
            if contract.plain
            else f"(pixel - mean) / std, channels {plain_channels(contract.channels)}"
        )
        count = contract.channel_count
        return [
            f"// The network was trained on {trained}.",
            f"inline constexpr float kMean[{count}] = {{{_floats(contract.mean)}}};",
            f"inline constexpr float kStd[{count}] = {{{_floats(contract.std)}}};",
        ]

    def table(self) -> list[str]:
        """Lines that declare the table of pixels; none for plain arrays."""
        if self.contract.plain:
            return []
        return [
            "// int8 input of each pixel value, by channel of the tensor.",
            f"extern const std::int8_t kPixelToInput[{self.contract.channel_count}][256];",
        ]

    def fill(self) -> list[str]:
        """Lines of ``FillInput``."""
        head = [
            f"// Turns {self.what} into the input tensor.",
            f"inline void FillInput(const {self.element}* {self.buffer}, std::int8_t* input) {{",
        ]
        count = self.contract.channel_count
        if self.contract.plain:
            return [
                *head,
                "  for (int i = 0; i < kInputSize; ++i) {",
                f"    const float real = (values[i] - kMean[i % {count}]) / kStd[i % {count}];",
                "    const float steps = std::round(real / kInputScale) + kInputZeroPoint;",
                "    input[i] = static_cast<std::int8_t>(steps < -128.0f ? -128.0f",
                "                                        : steps > 127.0f ? 127.0f : steps);",
                "  }",
                "}",
            ]
        channel = "2 - c" if self.contract.channels is ChannelOrder.BGR else "c"
        return [
            *head,
            f"  for (int i = 0; i < kImageSize; i += {count}) {{",
            f"    for (int c = 0; c < {count}; ++c) {{",
            f"      input[i + c] = kPixelToInput[c][{self.buffer}[i + {channel}]];",
            "    }",
            "  }",
            "}",
        ]

    def vectors_declared(self) -> tuple[str, str]:
        """Declaration of the test vectors without ``extern``, and what they hold."""
        name = f"const {self.element} {self.vectors}[kVectors][{self.size}]"
        return name, "RGB" if self.contract.is_colour else self.buffer

    def literals(self, example: np.ndarray) -> Iterable[str]:
        """Numbers of one test vector as C++ literals."""
        if self.contract.plain:
            return (f"{float(value)!r}f" for value in example.reshape(-1))
        return (str(int(value)) for value in example.reshape(-1))


def _floats(values: tuple[float, ...]) -> str:
    return ", ".join(f"{float(v)!r}f" for v in values)
