//! Bearer tokens: random, kept only as SHA-256, compared in constant time. A token has 256 bits
//! of chance, so that a plain hash cannot be guessed back.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a token of ours begins with, so that scanners for secrets find one that was published.
const PREFIX: &str = "armspan_";
const RANDOM_BYTES: usize = 32;

/// SHA-256 of a token; never printed.
#[derive(Clone, Copy)]
pub struct Hash([u8; 32]);

/// A new token; an error when the system gives no random bytes.
pub fn make() -> Result<String, String> {
    use base64::Engine;
    let mut bytes = [0; RANDOM_BYTES];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let filled = provider.secure_random.fill(&mut bytes);
    filled.map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(format!("{PREFIX}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
}

// === impl Hash ===

impl Hash {
    /// Of a token.
    pub fn of(token: &str) -> Hash {
        Hash(Sha256::digest(token.as_bytes()).into())
    }

    /// From 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Hash> {
        let digits: Option<Vec<u8>> =
            hex.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
        let digits: [u8; 64] = digits?.try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Some(Hash(bytes))
    }

    /// As 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether both are of the same token, in a time that says nothing of either.
    pub fn same(&self, other: &Hash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_only() {
        let (one, two) = (make().expect("random"), make().expect("random"));
        assert!(one.starts_with(PREFIX) && one.len() == PREFIX.len() + 43 && one != two);
        let hash = Hash::of(&one);
        assert!(Hash::parse(&hash.hex()).expect("hex").same(&hash));
        assert!(Hash::parse(&hash.hex().to_uppercase()).expect("hex").same(&hash));
        assert!(!hash.same(&Hash::of(&two)));
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of("abc").hex(), abc);
        for wrong in ["", "abc", &abc[1..], &format!("{abc}0"), &abc.replace('b', "g")] {
            assert!(Hash::parse(wrong).is_none(), "{wrong}");
        }
    }
}
