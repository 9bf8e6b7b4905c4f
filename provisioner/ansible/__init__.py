"""What is asked of Ansible and what it answers: hosts and variables that are meant, the job, its events."""
