"""Pages as functions from a repository to data and a template; the server and reports use them."""
