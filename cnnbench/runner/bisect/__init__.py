"""Which commit made it slower: structure first, then pairs, and what is kept to go on later."""
