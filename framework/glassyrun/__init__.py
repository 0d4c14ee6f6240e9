"""glassyrun: compare the dynamics of glasses and of neural networks.

The names in `__init__.pyi` are all that a plugin or a notebook needs. They are imported when they are first used, so that
`glassyrun --help` does not wait for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
