//! Generates Rust from `idl/coupon.thrift` and the files that it includes: the types and the service by volo-build, and
//! beside them the contract as data (`contract.rs`).

mod contract;

use std::path::{Path, PathBuf};

fn main() {
    // Asked when it runs: the place where it was compiled may be another one.
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let idl = Path::new(&crate_dir).join("../../idl");
    for folder in [idl.clone(), idl.join("support")] {
        watch(&folder);
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let contract = contract::generate(&idl);
    std::fs::write(out.join("contract.rs"), contract).expect("OUT_DIR can be written");
    volo_build::Builder::thrift()
        .add_service(idl.join("coupon.thrift"))
        .include_dirs(vec![idl])
        .filename(PathBuf::from("coupon.rs"))
        .write()
        .unwrap_or_else(|error| panic!("idl/coupon.thrift does not generate: {error:#}"));
}

/// A new or changed file of the folder generates anew.
fn watch(folder: &Path) {
    println!("cargo:rerun-if-changed={}", folder.display());
    let files = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    for file in files.flatten() {
        if file
            .path()
            .extension()
            .is_some_and(|extension| extension == "thrift")
        {
            println!("cargo:rerun-if-changed={}", file.path().display());
        }
    }
}
