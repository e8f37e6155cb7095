"""`hone chat`: the assistant in a terminal, over a server's API or on a home of its own."""
