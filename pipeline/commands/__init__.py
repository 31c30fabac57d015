"""One file per subcommand: a frozen dataclass of arguments with a ``run`` method. Heavy imports happen inside ``run``."""
