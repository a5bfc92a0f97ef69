"""What can go wrong with a local stack.

LocalError
├── PortTaken           a port of the stack is in use by something else
├── DataDirBusy         another `tollctl up` runs on the same data directory
├── BinaryMissing       a bundled server binary is not installed
├── ServiceFailed       a service ended before it was ready, or never became ready
└── ManifestsRefused    the control plane refused manifests that were to be applied at start
"""


class LocalError(Exception):
    """Its text is one line that names the object and the next step."""


class PortTaken(LocalError):
    """Something else listens on a port that the stack was told to use."""


class DataDirBusy(LocalError):
    """The data directory is locked by another running stack."""


class BinaryMissing(LocalError):
    """A server binary that the `local` extra brings is not there."""


class ServiceFailed(LocalError):
    """A service did not become ready."""


class ManifestsRefused(LocalError):
    """Manifests could not be read or applied."""
