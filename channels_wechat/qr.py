"""QR codes, drawn here: an address that carries a key is no other host's business."""

import io

import segno
from django.utils.safestring import SafeString


def svg(text: str) -> SafeString:
    """Return a QR code of `text` as an SVG element that fills its parent's width."""
    # M: a print may lose a corner. The quiet zone of four modules is part of the code.
    out = io.BytesIO()
    segno.make_qr(text, error="m").save(
        out, kind="svg", xmldecl=False, omitsize=True, border=4, light="#fff"
    )
    # Safe: made of numbers alone, the text is in the drawing.
    return SafeString(out.getvalue().decode())
