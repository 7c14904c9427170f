"""The sources as an Arduino library and as a component of CMake and ESP-IDF."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from export.c.names import Prefix

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_CMAKE = """\
# A component of ESP-IDF, a library for add_subdirectory, or a project of its own with a test.
cmake_minimum_required(VERSION 3.16)
set(sources
SOURCES)

if(ESP_PLATFORM)
  idf_component_register(SRCS ${sources} INCLUDE_DIRS ".")
  return()
endif()

project(net C)
add_library(net STATIC ${sources})
target_include_directories(net PUBLIC ${CMAKE_CURRENT_LIST_DIR})
set_target_properties(net PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_LIST_DIR)
  enable_testing()
  add_executable(net_test test/net_test.c test/net_vectors.c)
  target_link_libraries(net_test PRIVATE net)
  add_test(NAME net COMMAND net_test)
endif()
"""
_PROPERTIES = """\
name=net_network
version=1.0.0
author=edgequant
maintainer=edgequant
sentence=An int8 neural network in C, without an interpreter.
paragraph=Needs ARENA bytes of RAM and no other library. Boards whose constants lie in RAM (AVR) are too small for it.
category=Data Processing
url=https://pypi.org/project/edgequant/
architectures=*
includes=net.h
"""  # noqa: E501 - a property is one line
_SKETCH = """\
// Runs the network on its test vectors, and tells how many differ and how long one takes.
#include <net.h>

#include "net_vectors.h"

static uint8_t arena[NET_ARENA_BYTES];

void setup() { Serial.begin(115200); }

void loop() {
  const unsigned long start = micros();
  const int wrong = net_self_test(arena);
  const unsigned long each = (micros() - start) / NET_VECTORS;
  Serial.print(wrong);
  Serial.print(" of ");
  Serial.print(NET_VECTORS);
  Serial.print(" vectors differ, microseconds a run: ");
  Serial.println(each);
  delay(5000);
}
"""


def packages(
    prefix: Prefix, arena: int, sources: Mapping[str, str], tests: Mapping[str, str]
) -> dict[str, bytes]:
    """``CMakeLists.txt`` and the zip of an Arduino library, by file name.

    The zip has Arduino's layout (Arduino library specification 1.5): ``library.properties``,
    ``src`` and ``examples``. It is not compressed, so that its bytes are the same everywhere.

    Args:
        prefix: prefix of the network.
        arena: bytes of its arena.
        sources: C sources and headers by file name.
        tests: files of the self-test by file name.
    """
    names = "\n".join(f"  {name}" for name in sorted(sources) if name.endswith(".c"))
    cmake = _CMAKE.replace("SOURCES", names).replace("(net ", f"({prefix.text} ")
    cmake = cmake.replace("PRIVATE net)", f"PRIVATE {prefix.text})")
    cmake = cmake.replace("NAME net ", f"NAME {prefix.text} ")
    sketch = prefix.applied(_SKETCH).replace("<net.h>", f"<{prefix.text}.h>")
    properties = prefix.applied(_PROPERTIES.replace("ARENA", f"{arena:,}"))
    vectors = {prefix.file(name) for name in ("vectors.h", "vectors.c")}
    library = {
        "library.properties": properties.replace("includes=net.h", f"includes={prefix.text}.h"),
        **{f"src/{name}": text for name, text in sources.items() if name.endswith((".c", ".h"))},
        "examples/SelfTest/SelfTest.ino": sketch,
        **{f"examples/SelfTest/{name}": tests[name] for name in sorted(vectors)},
    }
    root = f"{prefix.text}_network"
    return {
        "CMakeLists.txt": prefix.applied(cmake).encode("ascii"),
        prefix.file("arduino.zip"): _zipped(root, library),
    }


def _zipped(root: str, texts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in texts.items():
            info = zipfile.ZipInfo(f"{root}/{name}", _ZIP_DATE)
            info.external_attr, info.create_system = _MODE, 3
            archive.writestr(info, text.encode("ascii"))
    return buffer.getvalue()
