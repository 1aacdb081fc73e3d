"""Who is calling, and what that one may do: keys, certificates, tokens; roles; the gate that every call passes."""
