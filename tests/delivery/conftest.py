import pytest

from endings import pytest_configure  # pytest calls it
from lab import Lab


@pytest.fixture(scope="session")
def whole_lab(tmp_path_factory, request):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.start()
        yield lab
    finally:
        if request.session.testsfailed:
            print((lab.folder / "serve.log").read_text()[-5000:])
        lab.stop()
    log = (lab.folder / "serve.log").read_text()
    assert "panicked" not in log, log


@pytest.fixture
def lab(whole_lab):
    """The lab, in which nothing goes on before and after a test."""
    whole_lab.rest()
    yield whole_lab
    whole_lab.rest()
