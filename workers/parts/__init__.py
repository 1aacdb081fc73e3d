"""What strategies are made of: drawing, stepping, judging, voting, and the arithmetic behind them. No plug-ins here."""
