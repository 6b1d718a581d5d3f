"""Jobs between organisations: what will run, who approved it, the process that runs it, and local launches."""
