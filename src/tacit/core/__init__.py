"""What every protocol shares: parties, shares, sessions, cards and the list of functionalities."""
