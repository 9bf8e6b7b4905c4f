"""Who vouches for a run's evidence: the host that made it and the controller that took it, by signatures of ssh-keygen.

ssh.py calls ssh-keygen; known_hosts.py asks what this machine knows a host by; receipt.py is what a controller signs of
evidence that arrives; vouching.py puts in words what all of that comes to.
"""
