//! Walks the bytes of a message against the contract before anything is decoded.
//!
//! The walk keeps an explicit stack and takes one value at a time, so it can stop where the bytes end and go on when
//! more have come: the end of an unframed message is found in linear time however slowly it drips in.

mod level;

use faststr::FastStr;
use pilota::thrift::{TMessageIdentifier, TMessageType};
use plinth_core::{ErrorCode, limits};
use plinth_idl::contract::{self, MethodSchema, StructSchema, TypeSchema};

use self::level::{
    Entered, FieldAt, Level, accepts, bit, enter, first_missing, heap_bytes, push_name,
    strip_argument, word,
};
use super::fault::Fault;
use super::wire::{Cursor, Read, Short, WireProtocol, WireType};

/// Whether a message is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// It goes on past the bytes that were shown.
    Incomplete,
    /// It ends here, counted from its first byte.
    Complete(usize),
}

/// One walk over one message.
pub struct Inspector {
    protocol: WireProtocol,
    bytes_max: usize,
    decoded_bytes_max: usize,
    position: usize,
    decoded_bytes: usize,
    identifier: Option<TMessageIdentifier>,
    method: Option<&'static MethodSchema>,
    stack: Vec<Level>,
    fault: Option<Fault>,
    /// The walk ended before the message did; only for framed ones.
    abandoned: bool,
}

impl Inspector {
    /// Begins a walk. `bytes_max` is what a message may take on the wire, `decoded_bytes_max` what it may take in
    /// memory.
    #[must_use]
    pub fn new(protocol: WireProtocol, bytes_max: usize, decoded_bytes_max: usize) -> Self {
        Self {
            protocol,
            bytes_max,
            decoded_bytes_max,
            position: 0,
            decoded_bytes: 0,
            identifier: None,
            method: None,
            stack: Vec::new(),
            fault: None,
            abandoned: false,
        }
    }

    /// Begins a walk over a struct that stands alone, without the head of a message: a stored one.
    #[must_use]
    pub fn of_struct(
        schema: &'static StructSchema,
        protocol: WireProtocol,
        bytes_max: usize,
        decoded_bytes_max: usize,
    ) -> Self {
        let mut inspector = Self::new(protocol, bytes_max, decoded_bytes_max);
        inspector.identifier = Some(TMessageIdentifier::new(
            FastStr::from_static_str(schema.name),
            TMessageType::Call,
            0,
        ));
        inspector.charge(schema.size_bytes);
        inspector.stack.push(Level::structure(Some(schema)));
        inspector
    }

    /// How the message is written.
    #[must_use]
    pub const fn protocol(&self) -> WireProtocol {
        self.protocol
    }

    /// Name, type and sequence number of the message, once they were read.
    #[must_use]
    pub const fn identifier(&self) -> Option<&TMessageIdentifier> {
        self.identifier.as_ref()
    }

    /// What is wrong with the content, if anything: the first fault in the order of the bytes.
    #[must_use]
    pub const fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Goes on over `bytes`, which begin with the first byte of the message. `whole` says that no more will come.
    ///
    /// Errors: [`Fault::Framing`] where the message cannot be what it claims; the walk is over then.
    pub fn advance(&mut self, bytes: &[u8], whole: bool) -> Result<Inspection, Fault> {
        loop {
            if self.abandoned {
                return Ok(Inspection::Complete(bytes.len()));
            }
            let step = match &self.identifier {
                None => self.head(bytes),
                Some(_) if self.stack.is_empty() => return self.complete(bytes, whole),
                Some(_) => self.step(bytes, whole)?,
            };
            match step {
                Ok(()) if self.position > self.bytes_max => return Err(self.too_long()),
                Ok(()) => {}
                Err(Short::More) if whole => {
                    return Err(Fault::framing("the frame ends before its message does"));
                }
                Err(Short::More) if bytes.len() >= self.bytes_max => return Err(self.too_long()),
                Err(Short::More) => return Ok(Inspection::Incomplete),
                Err(Short::Broken(what)) => {
                    return Err(Fault::framing(format!("{what}, at byte {}", self.position)));
                }
            }
        }
    }

    fn complete(&self, bytes: &[u8], whole: bool) -> Result<Inspection, Fault> {
        let after = bytes.len().saturating_sub(self.position);
        if whole && after > 0 {
            return Err(Fault::framing(format!(
                "{after} bytes after the message in its frame"
            )));
        }
        Ok(Inspection::Complete(self.position))
    }

    fn too_long(&self) -> Fault {
        Fault::framing(format!(
            "the message is longer than {} bytes",
            self.bytes_max
        ))
    }

    fn cursor<'a>(&self, bytes: &'a [u8]) -> Read<Cursor<'a>> {
        let ahead = bytes.get(self.position..).ok_or(Short::More)?;
        Ok(Cursor::new(ahead, self.protocol))
    }

    fn head(&mut self, bytes: &[u8]) -> Read<()> {
        let mut cursor = self.cursor(bytes)?;
        let head = cursor.message()?;
        if !matches!(head.message_type, TMessageType::Call | TMessageType::OneWay) {
            return Err(Short::Broken("a reply where a call is expected"));
        }
        let name = String::from_utf8_lossy(head.name);
        self.method = contract::method(&name);
        if self.method.is_none() {
            self.fault = Some(Fault::UnknownMethod);
        }
        self.identifier = Some(TMessageIdentifier::new(
            FastStr::new(name),
            head.message_type,
            head.sequence,
        ));
        self.position += cursor.position();
        let arguments = self.method.map(|method| method.arguments);
        self.charge(arguments.map_or(0, |schema| schema.size_bytes));
        self.stack.push(Level::structure(arguments));
        Ok(())
    }

    /// Walks one head of a field or one value. The outer error is a fault of framing that the inner one cannot say.
    fn step(&mut self, bytes: &[u8], whole: bool) -> Result<Read<()>, Fault> {
        let next = match self.stack.last() {
            Some(Level::Struct {
                field: Some(field), ..
            }) if field.pending => Some((field.wire, field.kind())),
            Some(Level::Struct { .. }) | None => None,
            Some(Level::Elements { left: 0, .. } | Level::Entries { left: 0, .. }) => {
                self.stack.pop();
                return Ok(Ok(()));
            }
            Some(Level::Elements { schema, wire, .. }) => Some((*wire, *schema)),
            Some(Level::Entries {
                schema,
                wire,
                at_value,
                ..
            }) => Some(if *at_value {
                (wire.1, schema.map(|(_, value)| value))
            } else {
                (wire.0, schema.map(|(key, _)| key))
            }),
        };
        match next {
            None => Ok(self.field_head(bytes)),
            Some((wire, schema)) => self.value(bytes, whole, wire, schema),
        }
    }

    fn field_head(&mut self, bytes: &[u8]) -> Read<()> {
        let mut cursor = self.cursor(bytes)?;
        let Some(Level::Struct {
            schema,
            seen,
            last_id,
            field,
        }) = self.stack.last_mut()
        else {
            return Err(Short::Broken("a field outside of a struct"));
        };
        let head = cursor.field(*last_id)?;
        self.position += cursor.position();
        let Some((id, wire)) = head else {
            let missing = schema.and_then(|schema| first_missing(schema, *seen));
            *field = None;
            if let Some(missing) = missing {
                self.refuse_field(missing, "is required");
            }
            self.stack.pop();
            return Ok(());
        };
        *last_id = id;
        let index = schema.and_then(|schema| schema.position(id));
        let known = index.and_then(|index| schema.and_then(|schema| schema.fields.get(index)));
        *seen |= index.map_or(0, bit);
        let agrees = known.is_none_or(|known| accepts(&known.kind, wire));
        *field = Some(FieldAt {
            id,
            schema: known.filter(|_| agrees),
            wire,
            pending: true,
        });
        if let Some(known) = known.filter(|_| !agrees) {
            let message = format!("expected {}, found {}", word(&known.kind), wire.name());
            self.refuse_sibling(known.name, message);
        }
        Ok(())
    }

    /// Notes that the value at hand was begun, so that the walk finds the next one when it comes back to this level.
    fn begin_value(&mut self) {
        match self.stack.last_mut() {
            Some(Level::Struct {
                field: Some(field), ..
            }) => field.pending = false,
            Some(Level::Elements { left, .. }) => *left = left.saturating_sub(1),
            Some(Level::Entries { left, at_value, .. }) => {
                if *at_value {
                    *left = left.saturating_sub(1);
                }
                *at_value = !*at_value;
            }
            Some(Level::Struct { .. }) | None => {}
        }
    }

    fn value(
        &mut self,
        bytes: &[u8],
        whole: bool,
        wire: WireType,
        schema: Option<&'static TypeSchema>,
    ) -> Result<Read<()>, Fault> {
        match wire {
            WireType::Struct | WireType::List | WireType::Set | WireType::Map => {
                self.container(bytes, whole, wire, schema)
            }
            WireType::Binary => self.text(bytes, whole, schema),
            _ => Ok(self.scalar(bytes, wire)),
        }
    }

    fn scalar(&mut self, bytes: &[u8], wire: WireType) -> Read<()> {
        let mut cursor = self.cursor(bytes)?;
        cursor.scalar(wire)?;
        self.position += cursor.position();
        self.begin_value();
        Ok(())
    }

    fn text(
        &mut self,
        bytes: &[u8],
        whole: bool,
        schema: Option<&'static TypeSchema>,
    ) -> Result<Read<()>, Fault> {
        let read = self.cursor(bytes).and_then(|mut cursor| {
            let length = cursor.length()?;
            Ok((cursor.position(), length))
        });
        let (head, length) = match read {
            Ok(read) => read,
            Err(short) => return Ok(Err(short)),
        };
        let start = self.position + head;
        self.check_left(length, start, bytes.len(), whole)?;
        let end = start + length;
        if matches!(schema, Some(TypeSchema::String)) {
            let Some(text) = bytes.get(start..end) else {
                return Ok(Err(Short::More));
            };
            if let Err(error) = std::str::from_utf8(text) {
                let place = error.valid_up_to();
                self.refuse(
                    ErrorCode::InvalidArgument,
                    format!("is not UTF-8 at byte {place}"),
                );
            }
        }
        if schema.is_some() {
            self.charge(length);
        }
        self.position = end;
        self.begin_value();
        Ok(Ok(()))
    }

    /// A length must fit into what is left of the frame, or of the limit where the frame's end is not known.
    fn check_left(
        &self,
        length: usize,
        start: usize,
        available: usize,
        whole: bool,
    ) -> Result<(), Fault> {
        let end = if whole { available } else { self.bytes_max };
        let left = end.saturating_sub(start);
        if length > left {
            return Err(Fault::framing(format!(
                "a length of {length} with {left} bytes left, at byte {start}"
            )));
        }
        Ok(())
    }

    fn container(
        &mut self,
        bytes: &[u8],
        whole: bool,
        wire: WireType,
        schema: Option<&'static TypeSchema>,
    ) -> Result<Read<()>, Fault> {
        if self.stack.len() >= limits::NESTING_DEPTH_MAX {
            return self.too_deep(whole).map(Ok);
        }
        let entered = match self
            .cursor(bytes)
            .and_then(|cursor| enter(cursor, wire, self.protocol, schema))
        {
            Ok(entered) => entered,
            Err(short) => return Ok(Err(short)),
        };
        let start = self.position + entered.head;
        self.check_left(entered.bytes_min, start, bytes.len(), whole)?;
        self.check_container(&entered, schema);
        self.position = start;
        self.begin_value();
        self.stack.push(entered.level);
        Ok(Ok(()))
    }

    fn check_container(&mut self, entered: &Entered, schema: Option<&'static TypeSchema>) {
        let Some(schema) = schema else {
            return;
        };
        let elements_max = self.elements_max();
        if entered.total > elements_max {
            let total = entered.total;
            self.refuse(
                ErrorCode::TooLarge,
                format!("has {total} elements, at most {elements_max} are allowed"),
            );
        }
        if let Some(found) = entered.disagrees {
            let expected = word(schema);
            self.refuse(
                ErrorCode::InvalidArgument,
                format!("expected {expected}, found one of {found}"),
            );
        }
        self.charge(heap_bytes(schema, entered.total));
    }

    /// A list that stands directly in the request of a batch is the batch.
    fn elements_max(&self) -> usize {
        let in_request = self.stack.len() == 2;
        if in_request
            && self
                .method
                .is_some_and(|method| method.name.contains("Batch"))
        {
            limits::BATCH_ITEMS_MAX
        } else {
            limits::ELEMENTS_MAX
        }
    }

    /// Past the depth limit the walk ends. A frame tells where the next message begins, an unframed message does not.
    fn too_deep(&mut self, whole: bool) -> Result<(), Fault> {
        let message = format!(
            "is nested more than {} levels deep",
            limits::NESTING_DEPTH_MAX
        );
        if !whole {
            return Err(Fault::framing(format!("the message {message}")));
        }
        self.refuse(ErrorCode::TooLarge, message);
        self.abandoned = true;
        Ok(())
    }

    fn charge(&mut self, bytes: usize) {
        let before = self.decoded_bytes;
        self.decoded_bytes = before.saturating_add(bytes);
        if before <= self.decoded_bytes_max && self.decoded_bytes > self.decoded_bytes_max {
            let message = format!(
                "the request takes more than {} bytes once decoded; send it in pieces",
                self.decoded_bytes_max
            );
            self.refuse(ErrorCode::TooLarge, message);
        }
    }

    /// Refuses the value at hand.
    fn refuse(&mut self, code: ErrorCode, message: String) {
        if self.fault.is_none() {
            let field = self.path();
            self.fault = Some(Fault::Content {
                code,
                field,
                message,
            });
        }
    }

    /// Refuses a field of the struct at hand that is not there.
    fn refuse_field(&mut self, name: &'static str, message: &str) {
        if self.fault.is_none() {
            let mut field = self.path();
            push_name(&mut field, name);
            self.fault = Some(Fault::Content {
                code: ErrorCode::InvalidArgument,
                field: strip_argument(field),
                message: message.to_owned(),
            });
        }
    }

    /// Refuses the field at hand, whose schema does not hold.
    fn refuse_sibling(&mut self, name: &'static str, message: String) {
        if let Some(Level::Struct { field, .. }) = self.stack.last_mut() {
            let at = field.take();
            self.refuse_field(name, &message);
            if let Some(Level::Struct { field, .. }) = self.stack.last_mut() {
                *field = at;
            }
        }
    }

    /// The path of the value at hand, as its sender wrote it: `items[3].ttl_ms`.
    fn path(&self) -> String {
        let mut path = String::new();
        let mut levels = self.stack.iter().peekable();
        while let Some(level) = levels.next() {
            // The value at hand was not begun yet; the ones around it were.
            let begun = usize::from(levels.peek().is_some());
            match level {
                Level::Struct {
                    field: Some(field), ..
                } => match field.schema {
                    Some(schema) => push_name(&mut path, schema.name),
                    None => push_name(&mut path, &format!("#{}", field.id)),
                },
                Level::Struct { field: None, .. } => {}
                Level::Elements { total, left, .. } => {
                    path.push_str(&format!("[{}]", total - left - begun));
                }
                Level::Entries {
                    total,
                    left,
                    at_value,
                    ..
                } => {
                    let value = *at_value == (begun == 0);
                    let before = if value { begun } else { 0 };
                    let side = if value { "value" } else { "key" };
                    path.push_str(&format!("[{}].{side}", total - left - before));
                }
            }
        }
        strip_argument(path)
    }
}
