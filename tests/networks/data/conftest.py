"""No test asks a real server, and none sees what another one loaded."""

from __future__ import annotations

import pytest

from glassyrun_networks.data import download, recent


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """Each request fails at once, as on a machine without network."""

    def refuse(*_arguments, **_named):
        raise OSError("no network in tests")

    recent.forget()
    monkeypatch.setattr(download, "_refused", {})
    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
