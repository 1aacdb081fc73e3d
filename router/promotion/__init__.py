"""How a candidate comes to serve, step by step and by evidence alone; and the guard that asks whether routing is worth it at all."""
