//! Conversions that every block's functions need: the IDL has signed integers and shared text, the blocks have not.

use std::collections::BTreeMap;

use faststr::FastStr;

/// Text of the IDL as the block's own.
pub(crate) fn text(value: Option<FastStr>) -> Option<String> {
    value.map(|text| text.to_string())
}

/// A map of the IDL as the block's own, in the order of its keys.
pub(crate) fn text_map(
    value: impl IntoIterator<Item = (FastStr, FastStr)>,
) -> BTreeMap<String, String> {
    value
        .into_iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// A list of text of the IDL as the block's own.
pub(crate) fn text_list(value: Vec<FastStr>) -> Vec<String> {
    value.iter().map(FastStr::to_string).collect()
}

/// A number of ours on its way out. Numbers past the range of the IDL's type end at that range: only statistics could
/// get there.
pub(crate) fn outward<I, U>(value: U) -> I
where
    I: TryFrom<U> + Bounded,
{
    I::try_from(value).unwrap_or(I::LARGEST)
}

/// A type with a largest value.
pub(crate) trait Bounded {
    /// That value.
    const LARGEST: Self;
}

impl Bounded for i32 {
    const LARGEST: Self = Self::MAX;
}

impl Bounded for i64 {
    const LARGEST: Self = Self::MAX;
}
