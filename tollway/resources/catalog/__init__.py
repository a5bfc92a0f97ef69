"""The catalog of providers: a row for each, which both planes read."""

from tollway.resources.catalog.compatible import COMPATIBLE
from tollway.resources.catalog.native import NATIVE
from tollway.resources.catalog.row import ProviderRow

ROWS: tuple[ProviderRow, ...] = (*NATIVE, *COMPATIBLE)
