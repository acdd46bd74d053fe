"""Other people's libraries, made faster by scans."""
