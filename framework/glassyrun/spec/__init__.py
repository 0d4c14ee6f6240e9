"""From a TOML file to a validated Spec, with every mistake named."""
