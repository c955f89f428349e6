"""Measuring bundles and backends side by side."""
