//! Writes the contract as data: each struct with its fields, each method with its request and reply, and the small
//! traits that let an edge treat them alike.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use pilota_thrift_parser::{
    Attribute, Field, File, FileParser, FileSource, Function, Item, StructLike, Ty, Type,
};

/// The files of the IDL by the name that other files include them under.
const FILES: [(&str, &str); 10] = [
    ("base", "base.thrift"),
    ("common", "support/common.thrift"),
    ("cache", "support/cache.thrift"),
    ("queue", "support/queue.thrift"),
    ("monitor", "support/monitor.thrift"),
    ("audit", "support/audit.thrift"),
    ("db", "support/db.thrift"),
    ("lock", "support/lock.thrift"),
    ("access", "support/access.thrift"),
    ("health", "support/health.thrift"),
];

/// One struct with the file that declares it.
struct Declared {
    file: &'static str,
    body: StructLike,
}

/// Renders `contract.rs`.
pub fn generate(idl: &Path) -> String {
    let mut structs = BTreeMap::new();
    for (file, path) in FILES {
        for item in parse(&idl.join(path)).items {
            if let Some(body) = struct_like(item) {
                structs.insert((file, body.name.to_string()), Declared { file, body });
            }
        }
    }
    let service = parse(&idl.join("coupon.thrift"))
        .items
        .into_iter()
        .find_map(|item| match item {
            Item::Service(service) => Some(service),
            _ => None,
        })
        .expect("coupon.thrift declares a service");
    let mut out = String::new();
    for declared in structs.values() {
        write_struct(&mut out, declared);
    }
    write_struct_list(&mut out, structs.values());
    write_methods(&mut out, &service.functions, &structs);
    out
}

fn parse(path: &Path) -> File {
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    FileParser::new(FileSource::new_with_path(path.to_owned(), &text).expect("a path"))
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error:?}", path.display()))
}

fn struct_like(item: Item) -> Option<StructLike> {
    match item {
        Item::Struct(item) => Some(item.struct_like),
        Item::Exception(item) => Some(item.struct_like),
        Item::Include(_) | Item::Namespace(_) | Item::CppInclude(_) => None,
        _ => panic!("the IDL holds structs and exceptions only: enumerations are text"),
    }
}

fn static_name(file: &str, name: &str) -> String {
    format!("{file}_{name}").to_uppercase()
}

fn write_struct(out: &mut String, declared: &Declared) {
    let (file, name) = (declared.file, declared.body.name.as_str());
    let mut fields: Vec<&Field> = declared.body.fields.iter().collect();
    fields.sort_by_key(|field| field.id);
    assert!(fields.len() <= 64, "{file}.{name} has more than 64 fields");
    writeln!(
        out,
        "static {}: StructSchema = StructSchema {{ file: {file:?}, name: {name:?}, size_bytes: ::core::mem::size_of::<{file}::{name}>(), fields: &[",
        static_name(file, name)
    )
    .expect("text");
    for field in fields {
        assert!(
            field.attribute != Attribute::Default,
            "{file}.{name}.{}: say required or optional",
            field.name.as_str()
        );
        writeln!(
            out,
            "FieldSchema {{ id: {}, name: {:?}, required: {}, kind: {} }},",
            field.id,
            field.name.as_str(),
            field.attribute == Attribute::Required,
            type_schema(file, &field.ty)
        )
        .expect("text");
    }
    out.push_str("] };\n");
}

fn type_schema(file: &str, ty: &Type) -> String {
    match &ty.0 {
        Ty::Bool => "TypeSchema::Bool".into(),
        Ty::Byte | Ty::I8 => "TypeSchema::I8".into(),
        Ty::I16 => "TypeSchema::I16".into(),
        Ty::I32 => "TypeSchema::I32".into(),
        Ty::I64 => "TypeSchema::I64".into(),
        Ty::Double => "TypeSchema::Double".into(),
        Ty::String => "TypeSchema::String".into(),
        Ty::Binary => "TypeSchema::Binary".into(),
        Ty::List { value, .. } => format!("TypeSchema::List(&{})", type_schema(file, value)),
        Ty::Set { value, .. } => format!("TypeSchema::Set(&{})", type_schema(file, value)),
        Ty::Map { key, value, .. } => format!(
            "TypeSchema::Map(&{}, &{})",
            type_schema(file, key),
            type_schema(file, value)
        ),
        Ty::Path(_) => {
            let (file, name) = resolve(file, ty);
            format!("TypeSchema::Struct(&{})", static_name(&file, &name))
        }
        other => panic!("{file}: the type {other:?} is not used in this contract"),
    }
}

/// The file and name of a struct type, seen from a file.
fn resolve(file: &str, ty: &Type) -> (String, String) {
    let Ty::Path(path) = &ty.0 else {
        panic!("{file}: a struct is expected, found {:?}", ty.0)
    };
    match path.segments.as_ref() {
        [name] => (file.to_owned(), name.to_string()),
        [other, name] => (other.to_string(), name.to_string()),
        _ => panic!("{file}: a type has one file and one name"),
    }
}

fn write_struct_list<'a>(out: &mut String, structs: impl Iterator<Item = &'a Declared>) {
    let (mut list, mut arms) = (String::new(), String::new());
    for Declared { file, body } in structs {
        let name = body.name.as_str();
        writeln!(list, "&{},", static_name(file, name)).expect("text");
        writeln!(
            arms,
            "({file:?}, {name:?}) => Some(visitor.visit::<{file}::{name}>()),"
        )
        .expect("text");
    }
    writeln!(
        out,
        "/// Every struct of the IDL, by file and name.\npub static STRUCTS: &[&StructSchema] = &[{list}];\n\
         /// Calls the visitor with the generated type of a struct; `None` for a schema that is not of this contract.\n\
         pub fn with_type<V: StructVisitor>(schema: &StructSchema, visitor: V) -> Option<V::Output> {{\n\
         match (schema.file, schema.name) {{ {arms} _ => None }} }}"
    )
    .expect("text");
}

fn write_methods(
    out: &mut String,
    functions: &[Function],
    structs: &BTreeMap<(&'static str, String), Declared>,
) {
    let (mut list, mut refusals) = (String::new(), String::new());
    for function in functions {
        let method = function.name.as_str();
        let [argument] = function.arguments.as_slice() else {
            panic!("{method}: one argument, called request")
        };
        let (request_file, request) = resolve("coupon", &argument.ty);
        let (reply_file, reply) = resolve("coupon", &function.result_type);
        let has = |name: &str| {
            structs
                .iter()
                .find(|((file, declared), _)| *file == request_file && *declared == request)
                .is_some_and(|(_, it)| {
                    it.body
                        .fields
                        .iter()
                        .any(|field| field.name.as_str() == name)
                })
        };
        let request_id = if has("request_id") {
            "self.request_id.as_deref()"
        } else {
            "None"
        };
        writeln!(
            list,
            "MethodSchema {{ name: {method:?}, arguments: &ARGUMENTS_{}, request: &{}, reply: &{} }},",
            method.to_uppercase(),
            static_name(&request_file, &request),
            static_name(&reply_file, &reply)
        )
        .expect("text");
        assert_eq!(
            (argument.id, argument.name.as_str()),
            (1, "request"),
            "{method}"
        );
        writeln!(
            out,
            "static ARGUMENTS_{}: StructSchema = StructSchema {{ file: \"coupon\", name: {:?}, \
             size_bytes: ::core::mem::size_of::<coupon::CouponService{method}ArgsRecv>(), fields: &[FieldSchema {{ id: 1, \
             name: \"request\", required: true, kind: TypeSchema::Struct(&{}) }}] }};",
            method.to_uppercase(),
            format!("{method}Arguments"),
            static_name(&request_file, &request),
        )
        .expect("text");
        writeln!(
            refusals,
            "{method:?} => Some(coupon::CouponServiceResponseSend::{method}(coupon::CouponService{method}ResultSend::Error(error))),"
        )
        .expect("text");
        writeln!(
            out,
            "impl Request for {request_file}::{request} {{ type Reply = {reply_file}::{reply}; const METHOD: &'static str = {method:?};\n\
             fn base(&self) -> Option<&base::Base> {{ self.base.as_ref() }}\n\
             fn request_id(&self) -> Option<&str> {{ {request_id} }} }}\n\
             impl Reply for {reply_file}::{reply} {{ fn set_base_resp(&mut self, base_resp: base::BaseResp) {{ self.base_resp = Some(base_resp); }} }}\n\
             impl MethodResult for coupon::CouponService{method}ResultSend {{ type Reply = {reply_file}::{reply};\n\
             fn succeeded(reply: Self::Reply) -> Self {{ Self::Ok(reply) }}\n\
             fn failed(error: common::SupportError) -> Self {{ Self::Error(error) }} }}"
        )
        .expect("text");
    }
    writeln!(
        out,
        "/// Every method of the service, in the order of the IDL.\npub static METHODS: &[MethodSchema] = &[{list}];\n\
         /// The answer of a method that was refused before it was decoded; `None` for a method that does not exist.\n\
         #[must_use]\n\
         pub fn refuse(method: &str, error: common::SupportError) -> Option<coupon::CouponServiceResponseSend> {{\n\
         match method {{ {refusals} _ => None }} }}"
    )
    .expect("text");
}
