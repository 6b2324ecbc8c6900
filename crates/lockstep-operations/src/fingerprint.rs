//! The fingerprint of a generation of keys: hosts compare it by eye, and no key can be derived from it.

use lockstep_io::key_file::GenerationRow;
use sha2::{Digest as _, Sha256};

/// In front of the bytes that are hashed: no other hash of a key is a fingerprint.
const CONTEXT: &[u8] = b"lockstep fingerprint of keys 1\n";

/// Eight hexadecimal digits, equal in all key files of one generation: each file has the readers' key, which
/// is drawn with it. They are 32 bits of a hash of 128 random ones.
pub fn of(cluster: u64, row: &GenerationRow) -> String {
    let mut hash = Sha256::new();
    hash.update(CONTEXT);
    hash.update(cluster.to_le_bytes());
    hash.update([row.number]);
    hash.update(row.reader);
    hash.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_io::key_file::KeyFile;

    #[test]
    fn keys_of_another_make_another_generation_and_another_cluster_have_another_fingerprint() {
        let drawn = || KeyFile::draw(7).expect("random numbers");
        let mut file = drawn();
        file.add_generation().expect("random numbers").expect("there is room");
        let (one, two) = (of(7, &file.generations[0]), of(7, &file.generations[1]));
        assert!(one.len() == 8 && one == of(7, &file.generations[0]));
        let others = [two, of(8, &file.generations[0]), of(7, &drawn().generations[0])];
        assert!(!others.contains(&one), "{one}: {others:?}");
    }
}
