//! # tree: one hash for many frames
//!
//! The Merkle tree of RFC 9162 (Certificate Transparency), section 2.1, with SHA-256: a leaf is hashed behind
//! a zero byte, a node behind a one, so that no leaf can pass for a node. A path of `log2(n)` hashes proves
//! that one of `n` leaves stands at its place.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A tree that grows at its right end and remembers no leaf: the roots of its whole subtrees, the largest
/// first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MerkleTree {
    /// (leaves, root)
    subtrees: Vec<(u64, Hash)>,
}

impl MerkleTree {
    /// Adds the hash of the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let (mut leaves, mut root) = (1, leaf);
        while let Some((_, left)) = self.subtrees.pop_if(|(of, _)| *of == leaves) {
            (leaves, root) = (leaves * 2, node_hash(&left, &root));
        }
        self.subtrees.push((leaves, root));
    }

    /// The root over all leaves so far; `None` without one.
    pub fn root(&self) -> Option<Hash> {
        self.subtrees.iter().rev().map(|(_, root)| *root).reduce(|right, left| node_hash(&left, &right))
    }
}

/// The root over these hashes of leaves; `None` without one.
pub fn root_of(leaves: impl IntoIterator<Item = Hash>) -> Option<Hash> {
    let mut tree = MerkleTree::default();
    leaves.into_iter().for_each(|leaf| tree.push(leaf));
    tree.root()
}

/// Leaves of the left subtree of a tree with `count` leaves, at least two: the greatest power of two below.
fn left_of(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

/// The path of the leaf `index` in the tree over `leaves`, from the leaf to the root (RFC 9162, 2.1.3.1).
/// `None` if there is no such leaf.
pub fn path_of(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut leaves, mut index, mut path) = (leaves, index, Vec::new());
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(left_of(leaves.len()));
        let (own, other) = if index < left.len() { (left, right) } else { (right, left) };
        index -= if index < left.len() { 0 } else { left.len() };
        path.extend(root_of(other.iter().copied()));
        leaves = own;
    }
    path.reverse();
    Some(path)
}

/// The root to which `path` leads from the hash of the leaf `index` of `count`; `None` if no path of this
/// length does.
pub fn root_by_path(leaf: Hash, index: u64, count: u64, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    // RFC 9162, 2.1.3.2.
    let (mut own, mut last, mut root) = (index, count - 1, leaf);
    for other in path {
        if last == 0 {
            return None;
        }
        if own & 1 == 1 || own == last {
            root = node_hash(other, &root);
            while own & 1 == 0 && own != 0 {
                (own, last) = (own >> 1, last >> 1);
            }
        } else {
            root = node_hash(&root, other);
        }
        (own, last) = (own >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_le_bytes())).collect()
    }

    /// RFC 9162, 2.1.1, as it is written: recursive.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [leaf] => *leaf,
            more => {
                let (left, right) = more.split_at(left_of(more.len()));
                node_hash(&by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn a_tree_that_grows_has_the_root_of_the_definition() {
        assert_eq!(root_of([]), None);
        for count in 1..70 {
            let leaves = leaves(count);
            assert_eq!(root_of(leaves.iter().copied()), Some(by_definition(&leaves)), "{count} leaves");
        }
    }

    /// The test vectors of Certificate Transparency: the roots over the first leaves of a fixed list.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let inputs: [&[u8]; 3] = [b"", &[0x00], &[0x10]];
        let root = |count| root_of(inputs[..count].iter().map(|leaf| leaf_hash(leaf))).map(hex);
        let expected = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        ];
        for (count, root_hex) in (1..).zip(expected) {
            assert_eq!(root(count).as_deref(), Some(root_hex), "{count} leaves");
        }
    }

    #[test]
    fn the_path_of_each_leaf_leads_to_the_root_and_that_of_no_other_place_does() {
        for count in 1..40 {
            let leaves = leaves(count);
            let root = root_of(leaves.iter().copied());
            for index in 0..count {
                let path = path_of(&leaves, index).expect("it is a leaf");
                let by_path = |index, count| root_by_path(leaves[index as usize], index, count, &path);
                assert_eq!(by_path(index as u64, count as u64), root, "leaf {index} of {count}");
                for other in (0..count).filter(|other| *other != index) {
                    let found = root_by_path(leaves[index], other as u64, count as u64, &path);
                    assert_ne!(found, root, "leaf {index} at {other} of {count}");
                }
                let longer = [path.as_slice(), &[root.unwrap_or_default()]].concat();
                assert_eq!(root_by_path(leaves[index], index as u64, count as u64, &longer), None);
                if let [_, shorter @ ..] = path.as_slice() {
                    assert_ne!(root_by_path(leaves[index], index as u64, count as u64, shorter), root);
                }
            }
            assert_eq!(path_of(&leaves, count), None);
            assert_eq!(root_by_path(leaves[0], count as u64, count as u64, &[]), None);
        }
    }
}
