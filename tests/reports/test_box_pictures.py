"""Photos with boxes of two networks, and curves, as a page shows them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from calibration_data.task import Task
from reports.box_pictures import boxed, curves
from reports.html import render
from reports.pictures import png
from tests.reports.task_samples import measured, task_page


def test_boxes_are_drawn_at_the_scale_of_the_picture() -> None:
    photo = np.full((200, 300, 3), 255, np.uint8)
    photo[0, 0] = 0, 10, 20  # not grey
    flip = {
        "size": [200, 300],
        "before": [{"box": [20, 40, 120, 140]}],
        "after": [{"box": [100, 200, 199, 300]}],
    }
    drawn = Image.open(io.BytesIO(boxed(png(photo, 150), flip))).convert("RGB")
    assert drawn.size == (150, 100)
    blue, orange = drawn.getpixel((20, 30)), drawn.getpixel((101, 80))
    assert blue[2] > blue[0] + 50
    assert orange[0] > orange[2] + 50
    assert drawn.getpixel((40, 35)) == (255, 255, 255)  # inside of a box


def test_photos_come_by_what_changed_and_curves_end_at_nothing() -> None:
    report = measured(Task.DETECTION)
    page = task_page(report)
    section = next(s for s in page.sections if s.title == "Images whose answer changed")
    assert "Blue, wide" in section.parts[0].text
    gallery = next(g for g in section.parts[1:] if g.caption.startswith("**onnx-int8**"))
    changes = [sum(int(w) for w in t.label.split() if w.isdigit()) for t in gallery.items]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 0
    (figure,) = curves(report)[0].parts
    assert "keras-float32: precision" in figure.alt
    assert 'class="gallery wide"' in render(page)
    assert curves(measured(Task.DETECTION, labelled=False)) == []
