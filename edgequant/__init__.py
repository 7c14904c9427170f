"""The front door: command line and pipeline."""

from edgequant.rooms import pin_rooms

pin_rooms()
