"""One module per stage, of the same name as its rule and its sub-command; each has `run`, from paths to paths."""
