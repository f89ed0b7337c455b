"""The machine that devbench runs on: folders, files, hashes, downloads, locks and TOML files."""
