"""The generated messages and services of ``proto/checklane/v1``; built, never written by hand."""
