//! Property 1 of the IDL: every field of every struct survives encode → decode in both protocols, and required fields
//! are required.
//!
//! Values are generated from the IDL's own types and written without generated code. The generated type decodes them
//! from the checked protocol and encodes them again; what it wrote is read back without generated code and must be the
//! same value.

#[cfg(test)]
mod support;

use bytes::BytesMut;
use pilota::thrift::Message;
use pilota::thrift::binary::TBinaryProtocol;
use pilota::thrift::compact::TCompactOutputProtocol;
use plinth_idl::contract::{METHODS, STRUCTS, StructSchema, StructVisitor, TypeSchema, with_type};
use plinth_rpc::codec::{CheckedInput, CompactOutput, Fault, Inspection, Inspector, WireProtocol};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use support::frames::PROTOCOLS;
use support::mutation::seed;
use support::values::{Value, any_struct, decode, encode, smallest};

const BYTES_MAX: usize = 16 * 1024 * 1024;
const DECODED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Generated values of each struct; about two hundred structs take them in both protocols.
const CASES: u32 = 64;

/// A runner counts its cases over its whole life, so each struct has its own.
fn runner(seed: u64) -> TestRunner {
    let words = [seed.to_le_bytes(); 4].concat();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &words))
}

/// Decodes with the generated type and encodes again.
struct Again {
    bytes: bytes::Bytes,
    protocol: WireProtocol,
}

impl StructVisitor for Again {
    type Output = Result<bytes::Bytes, String>;

    fn visit<T: Message + Clone + PartialEq + std::fmt::Debug>(self) -> Self::Output {
        let mut input = CheckedInput::new(self.bytes, self.protocol);
        let value = T::decode(&mut input).map_err(|error| error.to_string())?;
        if input.remaining() > 0 {
            return Err(format!("{} bytes were not read", input.remaining()));
        }
        let mut out = BytesMut::new();
        match self.protocol {
            WireProtocol::Binary => value.encode(&mut TBinaryProtocol::new(&mut out, false)),
            WireProtocol::Compact => value.encode(&mut CompactOutput(TCompactOutputProtocol::new(
                &mut out, false,
            ))),
        }
        .map_err(|error| error.to_string())?;
        Ok(out.freeze())
    }
}

fn inspect(
    schema: &'static StructSchema,
    bytes: &[u8],
    protocol: WireProtocol,
) -> Result<Inspection, Fault> {
    let mut inspector = Inspector::of_struct(schema, protocol, BYTES_MAX, DECODED_BYTES_MAX);
    let end = inspector.advance(bytes, true)?;
    inspector.fault().cloned().map_or(Ok(end), Err)
}

fn survives(schema: &'static StructSchema, value: &Value) -> Result<(), TestCaseError> {
    for protocol in PROTOCOLS {
        let bytes = encode(schema, value, protocol);
        let inspection = inspect(schema, &bytes, protocol);
        if inspection != Ok(Inspection::Complete(bytes.len())) {
            return Err(TestCaseError::fail(format!("{protocol:?}: {inspection:?}")));
        }
        let again = with_type(schema, Again { bytes, protocol })
            .ok_or_else(|| TestCaseError::fail("no generated type"))?
            .map_err(TestCaseError::fail)?;
        let back = decode(schema, again, protocol);
        if back != *value {
            return Err(TestCaseError::fail(format!(
                "{protocol:?}: became {back:?}"
            )));
        }
    }
    Ok(())
}

#[test]
fn every_field_of_every_struct_survives() {
    assert!(
        STRUCTS.len() > 2 * METHODS.len(),
        "requests, replies and what they hold"
    );
    let seed = seed();
    let mut cases = 0;
    for schema in STRUCTS {
        let outcome = runner(seed).run(&any_struct(schema, 0), |value| survives(schema, &value));
        if let Err(error) = outcome {
            panic!("{}.{}: {error}", schema.file, schema.name);
        }
        cases += CASES;
    }
    println!(
        "{} structs, {cases} values in both protocols",
        STRUCTS.len()
    );
}

/// Generated values hold each optional field three times out of four; this one holds none and must do as well.
#[test]
fn the_smallest_value_of_every_struct_survives() {
    for schema in STRUCTS {
        if let Err(error) = survives(schema, &smallest(schema)) {
            panic!("{}.{}: {error}", schema.file, schema.name);
        }
    }
}

#[test]
fn every_required_field_is_required_and_named() {
    for schema in STRUCTS {
        for field in schema.fields.iter().filter(|field| field.required) {
            let Value::Struct(mut fields) = smallest(schema) else {
                panic!("a struct")
            };
            fields.remove(&field.id);
            for protocol in PROTOCOLS {
                let bytes = encode(schema, &Value::Struct(fields.clone()), protocol);
                let place = format!("{}.{} in {protocol:?}", schema.name, field.name);
                match inspect(schema, &bytes, protocol) {
                    Err(Fault::Content {
                        field: path,
                        message,
                        ..
                    }) => {
                        assert_eq!(
                            (path.as_str(), message.as_str()),
                            (field.name, "is required"),
                            "{place}"
                        );
                    }
                    other => panic!("{place}: {other:?}"),
                }
                let generated =
                    with_type(schema, Again { bytes, protocol }).expect("a generated type");
                let error = generated.expect_err("generated code refuses it as well");
                assert!(
                    error.contains(&format!("{} is required", field.name)),
                    "{place}: {error}"
                );
            }
        }
    }
}

/// Every request carries the envelope, every reply answers it.
#[test]
fn every_method_takes_base_and_answers_base_resp() {
    for method in METHODS {
        let base = method
            .request
            .position(255)
            .map(|index| method.request.fields[index]);
        let base = base.unwrap_or_else(|| panic!("{} has no field 255", method.request.name));
        assert!(!base.required && base.name == "base", "{}", method.name);
        assert!(matches!(base.kind, TypeSchema::Struct(schema) if schema.name == "Base"));
        let answer = method
            .reply
            .position(255)
            .map(|index| method.reply.fields[index]);
        let answer = answer.unwrap_or_else(|| panic!("{} has no field 255", method.reply.name));
        assert!(
            !answer.required && answer.name == "base_resp",
            "{}",
            method.name
        );
    }
}
