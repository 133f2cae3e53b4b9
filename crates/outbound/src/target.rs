//! A URL that may be called at all.

use url::{Host, Url};

use crate::error::{OutboundError, TargetError};
use crate::guard;

/// An absolute http or https URL with a host and without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Parses a URL. Decimal, octal and hexadecimal hosts become the addresses that they mean.
    ///
    /// Errors: it is no URL, or one that may not be called whatever its address.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme {
                scheme: url.scheme().to_owned(),
            });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(TargetError::NoHost);
        }
        Ok(Self(url))
    }

    /// The URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// Judges a host that is an address: no resolver is asked for it. A name is judged when it is resolved.
    pub(crate) fn check_literal(&self, allow_private: bool) -> Result<(), OutboundError> {
        let address = match self.0.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(TargetError::NoHost.into()),
        };
        guard::check(address, allow_private).map_err(|reason| OutboundError::Forbidden {
            host: self.0.host_str().unwrap_or_default().to_owned(),
            address,
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_with_a_host_are_targets() {
        for good in [
            "http://example.com",
            "https://example.com:8443/a?b=c",
            "http://[2606:4700::1]/",
        ] {
            assert!(Target::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "/hook",
            "ftp://example.com",
            "file:///etc/passwd",
            "gopher://example.com",
            "http://",
            "http://user@example.com",
            "http://user:pass@example.com",
            "http://:pass@example.com",
            "javascript:alert(1)",
            "http://exa mple.com",
            "http://999.999.999.999/",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_in_any_notation_is_judged_as_what_it_means() {
        for text in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://１２７.0.0.1/",
        ] {
            let target = Target::parse(text).expect("parses");
            assert!(target.check_literal(false).is_err(), "{text}");
        }
        let metadata = Target::parse("http://169.254.169.254/latest/meta-data").expect("parses");
        assert!(metadata.check_literal(true).is_err());
    }
}
