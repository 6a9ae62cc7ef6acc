"""Why a served price is what it is, and what another price would sell."""
