//! The headers of a tar archive (ustar, POSIX.1-1988): of a backup, and of a bundle.

/// Bytes of a block.
pub const BLOCK: usize = 512;
/// Longest file that a header can describe.
pub const LEN_MAX: u64 = 0o777_7777_7777;
/// Bytes of the longest name, and one more.
const NAME_LEN: usize = 100;

/// The header of a file; `None` where it does not describe one with such a name or length.
pub fn header(name: &str, len: u64, time_s: u64) -> Option<[u8; BLOCK]> {
    if name.len() >= NAME_LEN || len > LEN_MAX {
        return None;
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{len:011o}\0"));
    put(136, &format!("{time_s:011o}\0"));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(block)
}

/// The bytes that fill the last block of a file.
pub fn padding(len: u64) -> Vec<u8> {
    vec![0; (len as usize).next_multiple_of(BLOCK) - len as usize]
}

/// A file of an archive, as its header describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchiveEntry {
    /// Its name; with the folder before it, where an archive of another program parts them.
    pub name: String,
    /// Its bytes.
    pub len: u64,
    /// Whether it is a file, and no link, folder or device.
    pub is_file: bool,
}

/// Reads a header; `None` where the block is none.
pub fn entry(block: &[u8; BLOCK]) -> Option<ArchiveEntry> {
    let text = |from: usize, to: usize| {
        let field = &block[from..to];
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        std::str::from_utf8(&field[..end]).ok()
    };
    let octal = |from: usize, to: usize| u64::from_str_radix(text(from, to)?.trim(), 8).ok();
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
    let is_sound = &block[257..262] == b"ustar" && octal(148, 156)? == sum - own + 8 * u64::from(b' ');
    let name = match text(345, 500)? {
        "" => text(0, NAME_LEN)?.to_owned(),
        folder => format!("{folder}/{}", text(0, NAME_LEN)?),
    };
    let is_file = matches!(block[156], b'0' | 0);
    is_sound.then_some(ArchiveEntry { name, len: octal(124, 136)?, is_file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_tar_writes_and_is_read_again() {
        let block = header("manifest.json", 1_000, 0).expect("it fits");
        assert_eq!(&block[124..136], b"00000001750\0");
        // The sum of all bytes, with blanks in its own place.
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(&block[148..155], format!("{:06o}\0", sum - own + 256).as_bytes());
        assert!(
            header("manifest.json", LEN_MAX + 1, 0).is_none() && header(&"x".repeat(100), 1, 0).is_none()
        );
        let read = ArchiveEntry { name: "manifest.json".to_owned(), len: 1_000, is_file: true };
        assert_eq!(entry(&block), Some(read));
        let mut other = block;
        other[0] = b'n';
        assert_eq!(entry(&other), None, "its sum is another");
        assert_eq!((padding(1_000).len(), padding(1_024).len()), (24, 0));
    }
}
