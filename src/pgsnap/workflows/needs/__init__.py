"""What a snapshot needs of the server that it is restored to."""
