"""The page that shows a repository in a browser: its server, its safety, its pages, its actions."""
