"""Exit status 0 when the interpreter that runs this is a ``.venv`` that can be installed into.

The Makefile asks it of the ``.venv`` that it finds. Any other end (an older Python, a ``.venv``
that was copied or moved here, no pip) makes the Makefile build a new one.
"""

import importlib.util
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)


def main() -> int:
    """Check the running interpreter against the ``.venv`` of the current directory."""
    venv = Path.cwd() / ".venv"
    # The scripts of a .venv name the place it was made at; its own record does too.
    made_here = str(venv) in (venv / "pyvenv.cfg").read_text(encoding="utf-8")
    in_use = Path(sys.prefix).resolve() == venv.resolve()
    has_pip = importlib.util.find_spec("pip") is not None
    return 0 if sys.version_info >= OLDEST_PYTHON and made_here and in_use and has_pip else 1


if __name__ == "__main__":
    sys.exit(main())
