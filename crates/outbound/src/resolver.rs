//! Names to addresses, each checked before it is used.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::guard;

/// A name whose address may not be called. Found again in the cause of the client's error.
#[derive(Debug, thiserror::Error)]
#[error("{host} is at {address}: {reason}")]
pub(crate) struct ForbiddenName {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) reason: &'static str,
}

/// A name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
struct NoAddress;

/// Asks the system's resolver, off the runtime. The connection is made to what is returned here and to nothing else.
pub(crate) struct GuardedResolver {
    pub(crate) allow_private: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            // The port is replaced by the URL's.
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(NoAddress.into());
            }
            // One bad address among good ones is a name to distrust as a whole.
            for address in found.iter().map(SocketAddr::ip) {
                if let Err(reason) = guard::check(address, allow_private) {
                    return Err(ForbiddenName {
                        host,
                        address,
                        reason,
                    }
                    .into());
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
