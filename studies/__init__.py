"""What a study is: its spec, its handle, and the rules that follow from it."""
