"""The Docker engine: how to reach it, and what it says put into one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker import DockerClient
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from provisioner.errors import Exit, ProvisionerError

__all__ = ["engine"]

HERE = "http+docker://localhost"  # what the client calls the socket of an engine on the same machine


@contextmanager
def engine() -> Iterator[DockerClient]:
    """Yield a client of this machine's engine, closed afterwards.

    Raise ProvisionerError: code 2 where there is no engine that a lab can stand on, 1 where it refuses something.
    """
    try:
        client = docker.from_env()
    except DockerException as error:
        raise _no_engine(error) from error
    try:
        _require_suitable(client)
        yield client
    except APIError as error:
        raise ProvisionerError(f"the Docker engine refused: {error.explanation or error}") from error
    except (DockerException, RequestException) as error:
        raise ProvisionerError(f"lost the Docker engine: {error}", "see whether it still runs") from error
    finally:
        client.close()


def _no_engine(error: Exception) -> ProvisionerError:
    if "PermissionError" in str(error):
        return ProvisionerError(
            "this user may not talk to the Docker engine",
            "run it as root, or as a member of the group 'docker'",
            Exit.BAD_INPUT,
        )
    return ProvisionerError(
        "no Docker engine answers",
        "start it, or let `provisioner prepare` install one on this machine",
        Exit.BAD_INPUT,
    )


def _require_suitable(client: DockerClient) -> None:
    """Raise ProvisionerError (code 2) where containers of this engine have no addresses that we can reach."""
    info = client.info()
    if client.api.base_url != HERE:
        problem = f"the Docker engine is not on this machine but at {client.api.base_url}"
    elif any("rootless" in option for option in info.get("SecurityOptions") or []):
        problem = "the Docker engine is rootless"
    elif "Docker Desktop" in info.get("OperatingSystem", ""):
        problem = "Docker Desktop runs containers inside a virtual machine"
    else:
        return
    raise ProvisionerError(
        f"{problem}, so lab hosts could not be reached", "use an engine that root runs here", Exit.BAD_INPUT
    )
