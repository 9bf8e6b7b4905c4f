"""What `doctor` asks a host. A folder of its own, as sources: what lies beside it travels with every look.

`checks` has the questions and answers for action host_checks, `gpu_health` those about NVIDIA's GPUs.
"""
