"""What a run is told: typed values (`schema`), how they come from YAML (`compose`), and as plain JSON (`plain`)."""
