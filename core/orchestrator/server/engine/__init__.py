"""What works on requests: who goes first, what advances together, which token comes next."""
