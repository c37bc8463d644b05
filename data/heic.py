"""Photos of phones (HEIC), which are read where pillow-heif is installed: the extra `heic`."""

EXTENSIONS = frozenset({".heic", ".heif"})

try:
    import pillow_heif
except ImportError:
    FORMATS: tuple[str, ...] = ()
else:
    pillow_heif.register_heif_opener()
    FORMATS = ("HEIF",)
