"""The stages of each job, from files to an avatar folder."""
