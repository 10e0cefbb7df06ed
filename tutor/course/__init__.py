"""From ``solutions/`` to what students hold: release, lab, bundle, the sample class."""
