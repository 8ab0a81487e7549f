"""A store on an SFTP server. asyncssh, an extra, is imported when a connection is made."""
