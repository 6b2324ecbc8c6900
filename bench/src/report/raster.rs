//! A picture as PNG: the very one that is drawn as SVG.

use resvg::{tiny_skia, usvg};

/// Latin letters of Inter (SIL Open Font License, beside it): a machine without a screen may have no font at all.
const FONT: &[u8] = include_bytes!("font/Inter.otf");
const FAMILY: &str = "Inter";

/// Draws `svg`, pixel for pixel.
///
/// # Errors
/// It is no picture.
pub fn png(svg: &str) -> Result<Vec<u8>, String> {
    let mut options = usvg::Options { font_family: FAMILY.to_owned(), ..usvg::Options::default() };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| format!("reading a picture: {error}"))?;
    let size = tree.size().to_int_size();
    let mut pixels =
        tiny_skia::Pixmap::new(size.width(), size.height()).ok_or("a picture without any size")?;
    resvg::render(&tree, tiny_skia::Transform::default(), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| format!("writing a picture: {error}"))
}
