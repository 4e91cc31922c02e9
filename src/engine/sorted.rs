//! Serialises a hash map in the order of its keys: equal maps give equal bytes.

use hashbrown::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::hash::Hash;

/// Writes the pairs in order.
pub fn serialize<K, V, S>(map: &HashMap<K, V>, out: S) -> Result<S::Ok, S::Error>
where
    K: Ord + Serialize,
    V: Serialize,
    S: Serializer,
{
    map.iter().collect::<BTreeMap<_, _>>().serialize(out)
}

/// Reads what [`serialize`] wrote.
pub fn deserialize<'de, K, V, D>(input: D) -> Result<HashMap<K, V>, D::Error>
where
    K: Eq + Hash + Ord + Deserialize<'de>,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(BTreeMap::deserialize(input)?.into_iter().collect())
}
