"""The colours of a person's far side, guessed from the picture of the near one."""
