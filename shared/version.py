"""The version of this code: the image's, the chart's and the package's too (a test compares them)."""

VERSION = "0.1.0"
