"""The window. Knows Qt and the core's values; never imports torch.

Nothing imports this package but its own modules, the tests and the package's spec file.
"""

from core import __version__

__all__ = ["__version__"]
