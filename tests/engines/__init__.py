"""Tests of common/engines."""
