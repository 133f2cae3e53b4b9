//! Generates Rust from `idl/coupon.thrift` and the files that it includes.

use std::path::{Path, PathBuf};

fn main() {
    let idl = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../idl");
    for folder in [idl.clone(), idl.join("support")] {
        watch(&folder);
    }
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
