//! Hashes of the short texts that one request said lately: the spans of a trace name the same
//! user, experiment and arm. Only saves work: the outcome is the same without it.

/// Texts that are remembered; those that share a place forget each other.
const PLACES: usize = 64;
/// Longer texts are hashed each time.
const BYTES_MAX: usize = 39;

/// Texts and their hashes, of one kind of hash.
pub struct Recall([Place; PLACES]);

#[derive(Clone, Copy)]
struct Place {
    hash: u64,
    length: u8,
    text: [u8; BYTES_MAX],
}

impl Default for Recall {
    fn default() -> Self {
        // A length that no text has.
        Recall([Place { hash: 0, length: u8::MAX, text: [0; BYTES_MAX] }; PLACES])
    }
}

impl Recall {
    /// The hash of a text, made when it is not remembered.
    #[inline]
    pub fn hash(&mut self, text: &str, make: impl FnOnce(&str) -> u64) -> u64 {
        let bytes = text.as_bytes();
        let place = &mut self.0[place(bytes)];
        if place.text.get(..usize::from(place.length)) == Some(bytes) {
            return place.hash;
        }
        let hash = make(text);
        if let Some(room) = place.text.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            (place.length, place.hash) = (bytes.len() as u8, hash);
        }
        hash
    }
}

/// Names and ids differ at their end, if not in their length.
#[inline]
fn place(bytes: &[u8]) -> usize {
    let last = match bytes.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    };
    let mixed = (last ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_hashed_once_and_never_taken_for_another() {
        let mut recall = Recall::default();
        let mut made = 0;
        let texts: Vec<String> =
            (0..300).map(|n| "x".repeat(n % 60) + &n.to_string()).chain([String::new()]).collect();
        for text in texts.iter().flat_map(|text| [text, text]) {
            let right = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
            let hash = recall.hash(text, |text| {
                made += 1;
                xxhash_rust::xxh3::xxh3_64(text.as_bytes())
            });
            assert_eq!(hash, right, "{text}");
        }
        let long = texts.iter().filter(|text| text.len() > BYTES_MAX).count();
        assert_eq!(made, texts.len() + long, "only long ones are hashed again");
    }
}
