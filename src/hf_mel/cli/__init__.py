"""The command line: one file a command, which reads its options and calls the library."""
