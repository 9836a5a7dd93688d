//! Which slot a key has.

use crate::connection::slots;

/// The slot of a key: of what is between its first braces, if they hold anything, else of all of it.
pub fn slot_of(key: &[u8]) -> u16 {
    slots::of_bytes(tag(key).unwrap_or(key))
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|byte| *byte == b'}')?;
    (close > 0).then(|| &rest[..close])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"stowplan:{foo}:cell"), 12_182);
        assert_eq!(slot_of(b"a{foo}{bar}"), 12_182);
        assert_ne!(slot_of(b"{}foo"), 12_182, "empty braces are part of the key");
    }
}
