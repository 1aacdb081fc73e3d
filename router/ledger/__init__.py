"""The ledger: who may spend what, to the micro-dollar and the token, across routers."""
