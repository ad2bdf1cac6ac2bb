"""Where a number comes from, and whether what lies on the disk is still what it was made from.

`chains` ties the records of all stages together, `verification` compares them with the files, `explanation` follows
them from a result to the raw data, `printing` shows that on a terminal.
"""
