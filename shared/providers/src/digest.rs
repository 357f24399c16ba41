//! Keys for what its provider gives no id.

use sha2::{Digest, Sha256};

/// Half of the SHA-256 of the parts, in hexadecimal digits. Each part goes in with its length, so that no two lists of
/// parts are taken for one another.
pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_cut_elsewhere_are_other_parts() {
        assert_eq!(of([b"ab".as_slice(), b"c"]), of([b"ab".as_slice(), b"c"]));
        assert_ne!(of([b"ab".as_slice(), b"c"]), of([b"a".as_slice(), b"bc"]));
        assert_ne!(of([b"a".as_slice()]), of([b"a".as_slice(), b""]));
    }
}
