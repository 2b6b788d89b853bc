"""These tests are about real hardware: without it they say so and fail, and `make test` does not
collect them."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _a_device_with_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.exit(
            f"make test-gpu needs a CUDA device and a CUDA build of torch; torch "
            f"{torch.__version__} finds none here.",
            returncode=1,
        )


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda", 0)
