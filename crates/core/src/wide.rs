//! Integers past 2⁵³ on the JSON edge.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A 64-bit integer that is a JSON **string**, because JavaScript's numbers lose integers past 2⁵³: versions, tokens,
/// offsets. Reading takes the string, or a number that is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WideInt(pub i64);

impl Serialize for WideInt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WideInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Text(String),
        }
        match Either::deserialize(deserializer) {
            Ok(Either::Number(number)) => Ok(Self(number)),
            Ok(Either::Text(text)) => text
                .parse()
                .map(Self)
                .map_err(|_| de::Error::custom("expected a 64-bit integer as text")),
            Err(_) => Err(de::Error::custom("expected a 64-bit integer as text")),
        }
    }
}

impl From<i64> for WideInt {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_integer_survives_json() {
        let text = serde_json::to_string(&WideInt(i64::MAX)).expect("serializes");
        assert_eq!(text, "\"9223372036854775807\"");
        let back: WideInt = serde_json::from_str(&text).expect("parses");
        assert_eq!(back.0, i64::MAX);
        assert!(serde_json::from_str::<WideInt>("\"x\"").is_err());
        assert!(serde_json::from_str::<WideInt>("1.5").is_err());
    }
}
