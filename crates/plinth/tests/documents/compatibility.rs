//! Clients of the last release go on working: nothing of the IDL or of the OpenAPI document was removed, renumbered or
//! retyped since.

use plinth_testkit::{compat_idl, compat_openapi};

/// The last release.
const RELEASE: &str = "0.1";

#[test]
fn the_idl_keeps_what_was_released() {
    let idl = |folder: &str| compat_idl::Idl::load(&crate::root().join(folder)).expect("loads");
    let wrong =
        compat_idl::incompatibilities(&idl(&format!("idl/released/{RELEASE}")), &idl("idl"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_openapi_document_keeps_what_was_released() {
    let file = crate::root().join(format!("docs/released/openapi-{RELEASE}.json"));
    let released = std::fs::read_to_string(file).expect("reads");
    let released = serde_json::from_str(&released).expect("parses");
    let current = plinth_http::openapi_document()
        .to_json()
        .expect("serialises");
    let current = serde_json::from_str(&current).expect("parses");
    let wrong = compat_openapi::incompatibilities(&released, &current);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
