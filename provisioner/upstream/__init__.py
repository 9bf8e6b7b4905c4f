"""Logs of the original shell benchmark: scenario_runner.sh around scenario_a, scenario_b or scenario_c.

Such a log is all the evidence there is of its run. log.py reads it, phases.py and inputs.py tell what it proves,
checks.py judges that, and record.py puts the record together.
"""

from provisioner.upstream.log import NotALogError, decode
from provisioner.upstream.record import PROFILE, in_folder, log_name, record_of

__all__ = ["PROFILE", "NotALogError", "decode", "in_folder", "log_name", "record_of"]
