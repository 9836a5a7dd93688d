//! The last bytes of a stream, in bounded memory, and as text whatever the bytes are.

use crate::api::calls::TailDocument;

/// How much is kept.
const KEPT_BYTES: usize = domain::container::OUTPUT_TAIL_BYTES;

/// The end of a stream.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last bytes; up to twice of what is kept, so that bytes are moved rarely.
    bytes: Vec<u8>,
    dropped: u64,
}

impl Tail {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() > 2 * KEPT_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.bytes.len().saturating_sub(KEPT_BYTES);
        self.bytes.drain(..surplus);
        self.dropped += surplus as u64;
    }

    /// At most [`KEPT_BYTES`] of text: what is no text becomes U+FFFD, a character cut at the front goes whole.
    pub(super) fn into_document(mut self) -> TailDocument {
        self.cut();
        let front = if self.dropped > 0 { leftover_bytes(&self.bytes) } else { 0 };
        let characters = decode(&self.bytes[front..]);
        let mut room = KEPT_BYTES;
        let fits = |(_, character): &&(usize, char)| {
            let bytes = character.len_utf8();
            let fits = bytes <= room;
            room -= if fits { bytes } else { room };
            fits
        };
        let kept = characters.iter().rev().take_while(fits).count();
        let (cut, kept) = characters.split_at(characters.len() - kept);
        let cut_bytes: usize = front + cut.iter().map(|(bytes, _)| bytes).sum::<usize>();
        TailDocument {
            text: kept.iter().map(|(_, character)| character).collect(),
            dropped_bytes: self.dropped + cut_bytes as u64,
        }
    }
}

/// How many bytes at the front are the rest of a character that was cut.
fn leftover_bytes(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|byte| *byte & 0b1100_0000 == 0b1000_0000).count()
}

/// Each character with the number of bytes it stood for.
fn decode(bytes: &[u8]) -> Vec<(usize, char)> {
    let mut characters = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        characters.extend(chunk.valid().chars().map(|character| (character.len_utf8(), character)));
        if !chunk.invalid().is_empty() {
            characters.push((chunk.invalid().len(), char::REPLACEMENT_CHARACTER));
        }
    }
    characters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(chunks: &[&[u8]]) -> TailDocument {
        let mut tail = Tail::default();
        for chunk in chunks {
            tail.push(chunk);
            assert!(tail.bytes.capacity() < 8 * KEPT_BYTES + chunk.len(), "memory is bounded");
        }
        tail.into_document()
    }

    #[test]
    fn short_output_is_kept_whole() {
        assert_eq!(tail(&[b"a\0", b"b\n"]), TailDocument { text: "a\0b\n".to_owned(), dropped_bytes: 0 });
        assert_eq!(tail(&[]), TailDocument::default());
    }

    #[test]
    fn long_output_keeps_its_end_and_counts_the_rest() {
        let chunks: Vec<Vec<u8>> = (0..1000_u32).map(|n| format!("{n:099}\n").into_bytes()).collect();
        let document = tail(&chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(document.text.len(), KEPT_BYTES);
        assert!(document.text.ends_with("999\n"));
        assert_eq!(document.dropped_bytes, 100_000 - KEPT_BYTES as u64);
    }

    #[test]
    fn a_character_cut_at_the_front_goes_whole() {
        let document = tail(&["€".repeat(KEPT_BYTES).as_bytes()]);
        assert_eq!(document.text, "€".repeat(KEPT_BYTES / 3));
        assert_eq!(document.dropped_bytes + document.text.len() as u64, 3 * KEPT_BYTES as u64);
    }

    #[test]
    fn bytes_that_are_no_text_fit_in_the_bound_and_are_accounted_for() {
        let document = tail(&[&vec![0xff; 100_000]]);
        assert_eq!(document.text.chars().count(), KEPT_BYTES / 3, "each takes three bytes as U+FFFD");
        assert_eq!(document.dropped_bytes, 100_000 - (KEPT_BYTES / 3) as u64);
        assert_eq!(tail(&[b"a\xe2\x82"]).text, "a\u{fffd}", "a character cut at the end");
    }
}
