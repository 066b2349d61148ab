"""The version, alone in a file that a build can read without importing anything."""

VERSION = "0.1.0"
