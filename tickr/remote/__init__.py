"""Workers outside of Tickr, in any language: leases, what is claimed for them, and what they report."""
