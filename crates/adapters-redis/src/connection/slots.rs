//! In which of a cluster's 16,384 slots a cell lies.

use domain::id::CellName;

/// How many there are.
pub(super) const COUNT: u16 = 16_384;

/// The slot of a cell: all its keys carry its name as their hash tag.
pub(super) fn of(cell: &CellName) -> u16 {
    of_bytes(cell.as_str().as_bytes())
}

/// The slot of what keys are spread by.
pub(crate) fn of_bytes(bytes: &[u8]) -> u16 {
    crc16(bytes) % COUNT
}

/// CRC-16/XMODEM, by which a cluster spreads its keys.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_a_server_counts() {
        // What `CLUSTER KEYSLOT` answers.
        for (name, slot) in [("main", 12_501), ("foo", 12_182), ("bar", 5_061), ("123456789", 12_739)] {
            assert_eq!(of(&CellName::new(name).unwrap()), slot, "{name}");
        }
    }
}
