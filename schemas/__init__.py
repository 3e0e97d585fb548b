"""What a record is, what a token means, which frames a look asks for, how an answer is scored. Pure: no I/O, no torch."""
