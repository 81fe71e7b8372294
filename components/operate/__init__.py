"""What an operator does to machines beside `pulumi up`: by `python -m components.operate`, or from a program."""
