"""Throwaway hosts on this machine: containers with systemd and sshd, and an inventory to reach them by.

What is running is read from the engine's labels each time; only the keys and the inventory are files.
"""

from provisioner.lab.model import Lab, LabHost
from provisioner.lab.workflow import down, login, status, up

__all__ = ["Lab", "LabHost", "down", "login", "status", "up"]
