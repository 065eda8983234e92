"""The configuration of a run: typed values (`schema`), composed from YAML (`compose`), or as plain JSON (`plain`)."""
