//! Who asks.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{CredentialId, PrincipalId, TenantId};

/// The name of a role: one of the built-in ones, or one that a tenant defines.
pub type RoleName = Arc<str>;

/// What kind of holder a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A program.
    Service,
    /// A person.
    User,
    /// Plinth itself: schedules, housekeeping.
    System,
}

/// A holder of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its id, unique in the tenant.
    pub id: PrincipalId,
    /// Its name for people.
    pub name: String,
    /// What kind of holder it is.
    pub kind: PrincipalKind,
}

/// W3C trace context of a request (<https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Id of the whole trace; never zero.
    pub trace_id: [u8; 16],
    /// Id of the caller's span, or of the first span of a trace that began here; never zero.
    pub parent_id: [u8; 8],
    /// Flags; bit 0 says that the caller sampled.
    pub flags: u8,
    /// Whether the trace began here: no caller sent one.
    pub begun_here: bool,
}

/// Bytes of a `traceparent` header of version 00.
const HEADER_BYTES: usize = 55;

impl TraceContext {
    /// Parses a `traceparent` header of version 00 (later versions are read by their first four fields). `None` where
    /// it breaks the grammar: the specification then has the receiver begin a new trace.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version.len() != 2 || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        u8::from_str_radix(version, 16).ok()?;
        if flags.len() != 2
            || [version, trace, parent, flags]
                .concat()
                .bytes()
                .any(|byte| byte.is_ascii_uppercase())
        {
            return None;
        }
        let trace_id = decode_hex::<16>(trace)?;
        let parent_id = decode_hex::<8>(parent)?;
        if trace_id == [0; 16] || parent_id == [0; 8] {
            return None;
        }
        Some(Self {
            trace_id,
            parent_id,
            flags: u8::from_str_radix(flags, 16).ok()?,
            begun_here: false,
        })
    }

    /// Begins a new trace. Its id begins with the time (RFC 9562 version 7).
    #[must_use]
    pub fn begin() -> Self {
        // From the thread's own generator: every request begins a trace, and a system call for each random number would be a
        // twentieth of a cached read. An id need not be hard to guess.
        let (seconds, nanoseconds) = uuid::Timestamp::now(uuid::NoContext).to_unix();
        let at_ms = seconds
            .saturating_mul(1_000)
            .saturating_add(u64::from(nanoseconds / 1_000_000));
        let id = uuid::Builder::from_unix_timestamp_millis(at_ms, &rand::random()).into_uuid();
        Self {
            trace_id: *id.as_bytes(),
            parent_id: rand::random::<NonZeroU64>().get().to_be_bytes(),
            flags: 0,
            begun_here: true,
        }
    }

    /// The `traceparent` header for the next hop.
    #[must_use]
    pub fn header(&self) -> String {
        let mut text = String::with_capacity(HEADER_BYTES);
        text.push_str("00-");
        push_hex(&mut text, &self.trace_id);
        text.push('-');
        push_hex(&mut text, &self.parent_id);
        text.push('-');
        push_hex(&mut text, &[self.flags]);
        text
    }

    /// The trace id as 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        let mut text = String::with_capacity(2 * self.trace_id.len());
        push_hex(&mut text, &self.trace_id);
        text
    }
}

/// Two lower-case digits for each byte. Every answer carries a trace, so this does without `fmt`.
fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            let from = if digit < 10 { b'0' } else { b'a' - 10 };
            text.push(char::from(from + digit));
        }
    }
}

fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The authenticated caller of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose data it is.
    pub tenant: TenantId,
    /// Who holds the credential.
    pub principal: Principal,
    /// The credential that was shown, without its secret part.
    pub credential: CredentialId,
    /// Roles bound to the principal in this tenant.
    pub roles: Arc<[RoleName]>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// What the client calls itself; at most 256 bytes.
    pub user_agent: Option<String>,
    /// The trace that the request belongs to.
    pub trace: TraceContext,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_that_begin_differ_and_their_ids_begin_with_the_time() {
        let begun: Vec<TraceContext> = (0..1_000).map(|_| TraceContext::begin()).collect();
        let traces: std::collections::HashSet<_> = begun.iter().map(|each| each.trace_id).collect();
        let parents: std::collections::HashSet<_> =
            begun.iter().map(|each| each.parent_id).collect();
        assert_eq!((traces.len(), parents.len()), (1_000, 1_000));
        let known = *uuid::Uuid::now_v7().as_bytes();
        for trace in &begun {
            assert_eq!(uuid::Uuid::from_bytes(trace.trace_id).get_version_num(), 7);
            // The upper 32 of the 48 bits of milliseconds change once a minute.
            assert!(trace.trace_id[..4] <= known[..4]);
            let sent = TraceContext::parse(&trace.header()).expect("parses");
            assert_eq!(sent.header(), trace.header());
        }
    }

    #[test]
    fn traceparent_survives_and_bad_ones_are_refused() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(
            TraceContext::parse(header).expect("parses").header(),
            header
        );
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert!(TraceContext::parse(bad).is_none(), "{bad}");
        }
        assert!(
            TraceContext::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x")
                .is_some()
        );
        assert!(TraceContext::parse(&TraceContext::begin().header()).is_some());
    }
}
