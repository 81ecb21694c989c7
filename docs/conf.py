"""Sphinx: MyST and Furo. What can be read from the program is written anew at each build, into _build/generated."""

import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from docs.images import make_process_picture  # noqa: E402  # after the path is set
from steelyard.core import breaker, health  # noqa: E402
from tools import machine, reference  # noqa: E402

project = "Steelyard"
author = "The Steelyard developers"
copyright = "the Steelyard developers"  # Sphinx wants this name

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Steelyard"
html_show_sourcelink = False
nitpicky = True

GENERATED: Final = HERE / "_build" / "generated"
GENERATED.mkdir(parents=True, exist_ok=True)
(GENERATED / "configuration.md").write_text(reference.reference())
(GENERATED / "messages.md").write_text(make_process_picture.messages())
(GENERATED / "health.md").write_text(machine.markdown(health.TRANSITIONS))
(GENERATED / "health.svg").write_text(
    machine.picture(health.TRANSITIONS, health.HEALTHY, "A backend's health: states, and the events that change them")
)
(GENERATED / "breaker.md").write_text(machine.markdown(breaker.TRANSITIONS))
(GENERATED / "breaker.svg").write_text(
    machine.picture(breaker.TRANSITIONS, breaker.LETS_THROUGH, "A circuit: states, and the events that change them")
)
