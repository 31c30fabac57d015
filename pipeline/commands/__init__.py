"""One file per subcommand: a frozen dataclass with a ``run`` method. Heavy imports happen inside ``run``."""
