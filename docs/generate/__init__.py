"""Makes the pages of docs/reference from the contract and the code: `make docs`."""
