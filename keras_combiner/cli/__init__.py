"""The command line `keras-combiner`: one file a subcommand, with `add_parser` and `run` in each."""
