//! Everything that is hashed under the operator's key: content, units, response ids. Without a key
//! content hashes are plain SHA-256 and units use a public constant.

use super::value::{HASHED_BYTES_MAX, cut};
use crate::model::UnitHash;
use crate::model::canonical::{hex, sha256_text};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher24;

/// The keys.
pub struct Secret {
    content: Option<(Hmac<Sha256>, String)>,
    units: SipHasher24,
    responses: SipHasher24,
}

impl Secret {
    /// From the configured key and the name of it that hashes carry.
    pub fn new(key: Option<&str>, key_id: &str) -> Self {
        let content = key.map(|key| {
            let mac = Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
            (mac, key_id.to_owned())
        });
        let units = derive("armspan unit key", key);
        let responses = derive("armspan response key", key);
        Secret { content, units, responses }
    }

    /// `sha256:<hex>`, or with a key `hmac-sha256:<key id>:<hex>`.
    pub fn hash(&self, content: &str) -> String {
        match &self.content {
            None => sha256_text(content.as_bytes()),
            Some((mac, id)) => {
                let mut mac = mac.clone();
                mac.update(content.as_bytes());
                format!("hmac-sha256:{id}:{}", hex(&mac.finalize().into_bytes()))
            }
        }
    }

    /// A hash that the emitter made: kept as it is, or with a key hashed again, so that nobody
    /// outside can try prompts against it.
    pub fn rehash(&self, told: &str) -> String {
        if self.content.is_none() { told.to_owned() } else { self.hash(told) }
    }

    /// The keyed hash of a unit's id.
    pub fn unit(&self, id: &str) -> UnitHash {
        UnitHash(self.units.hash(cut(id, HASHED_BYTES_MAX).as_bytes()))
    }

    /// The keyed hash of a response id.
    pub fn response(&self, id: &str) -> UnitHash {
        UnitHash(self.responses.hash(cut(id, HASHED_BYTES_MAX).as_bytes()))
    }
}

fn derive(purpose: &str, key: Option<&str>) -> SipHasher24 {
    let digest =
        Sha256::new().chain_update(purpose).chain_update(key.unwrap_or_default()).finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    SipHasher24::new_with_key(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_changes_every_hash() {
        let (open, keyed) = (Secret::new(None, ""), Secret::new(Some("k"), "2026"));
        assert!(open.hash("p").starts_with("sha256:148de9c5"));
        assert!(keyed.hash("p").starts_with("hmac-sha256:2026:"));
        assert_eq!(open.rehash("sha256:ab"), "sha256:ab");
        assert_ne!(keyed.rehash("sha256:ab"), "sha256:ab");
        assert_ne!(open.unit("u"), keyed.unit("u"));
        assert_ne!(open.unit("u"), open.response("u"));
        assert_eq!(open.unit("u"), Secret::new(None, "x").unit("u"));
    }
}
