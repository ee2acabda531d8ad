"""Compiled arithmetic on the CPU that several parts share: functions of numbers, and passes over rows of channels."""
