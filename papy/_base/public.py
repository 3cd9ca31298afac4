"""Public objects say that they live in the package: where users find them, in errors and documents as in pickles."""

from __future__ import annotations

from numap.interop import public_in

#: Marks a class or function as one of this package.
public = public_in("papy")
