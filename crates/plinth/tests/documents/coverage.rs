//! Each operation of the catalogue is on every surface, and no surface has one that the catalogue does not know.

use std::collections::BTreeSet;

use plinth_gate::catalogue::operations;

#[test]
fn the_thrift_service_has_exactly_the_methods_of_the_catalogue() {
    let idl = std::fs::read_to_string(crate::root().join("idl/coupon.thrift")).expect("reads");
    let declared: BTreeSet<&str> = idl
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter_map(|line| line.split_once("(1: "))
        .filter_map(|(head, _)| head.split_whitespace().last())
        .collect();
    let known: BTreeSet<&str> = operations()
        .iter()
        .map(|operation| operation.thrift_method)
        .collect();
    assert_eq!(declared, known);
}

#[test]
fn the_http_interface_has_exactly_the_operations_of_the_catalogue() {
    let document = plinth_http::openapi_document()
        .to_json()
        .expect("serialises");
    let document: serde_json::Value = serde_json::from_str(&document).expect("parses");
    let paths = document["paths"].as_object().expect("paths");
    let served: BTreeSet<(String, String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods
                .iter()
                .filter(|(_, value)| value.get("operationId").is_some())
                .map(|(method, operation)| {
                    let id = operation["operationId"].as_str().expect("an id");
                    (id.to_owned(), method.to_uppercase(), path.clone())
                })
        })
        .collect();
    let known: BTreeSet<(String, String, String)> = operations()
        .iter()
        .map(|operation| {
            let method = operation.http_method.to_owned();
            (
                operation.id.to_string(),
                method,
                operation.http_path.to_owned(),
            )
        })
        .collect();
    assert_eq!(served, known);
}

#[test]
fn ids_methods_and_routes_stand_once() {
    let table = operations();
    let ids: BTreeSet<_> = table.iter().map(|operation| operation.id).collect();
    let methods: BTreeSet<_> = table
        .iter()
        .map(|operation| operation.thrift_method)
        .collect();
    let routes: BTreeSet<_> = table
        .iter()
        .map(|operation| (operation.http_method, operation.http_path))
        .collect();
    assert_eq!([ids.len(), methods.len(), routes.len()], [table.len(); 3]);
}
