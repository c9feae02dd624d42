//! What the API's messages look like in protobuf, read from the descriptions that were compiled in.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::{Label, Type};

/// Messages whose fields stand among their parent's in JSON.
const INLINE: [&str; 3] = ["volumeSource", "handler", "localObjectReference"];

#[derive(Debug, Default)]
pub struct Schema {
    messages: HashMap<String, Message>,
}

#[derive(Debug, Default)]
pub struct Message {
    pub name: String,
    /// By name in JSON.
    pub fields: HashMap<String, Field>,
    /// Number and type of messages that JSON does not nest.
    pub inline: Vec<(u32, String)>,
}

#[derive(Debug)]
pub struct Field {
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Bool,
    Integer,
    Text,
    Bytes,
    Message(String),
    /// With keys of text; what the values are.
    Map(Box<Kind>),
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let compiled: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kubernetes.bin"));
    // A set that did not decode would show as unknown messages in the first test.
    Schema::read(&FileDescriptorSet::decode(compiled).unwrap_or_default())
});

impl Schema {
    pub fn get() -> &'static Self {
        &SCHEMA
    }

    pub fn message(&self, name: &str) -> Option<&Message> {
        self.messages.get(name)
    }

    fn read(set: &FileDescriptorSet) -> Self {
        let mut schema = Self::default();
        for message in set.file.iter().flat_map(|file| &file.message_type) {
            let name = message.name().to_owned();
            let mut fields = HashMap::new();
            let mut inline = Vec::new();
            for field in &message.field {
                let number = field.number().unsigned_abs();
                let entry = message.nested_type.iter().find(|nested| {
                    field.r#type() == Type::Message
                        && field.type_name().ends_with(&format!("{name}.{}", nested.name()))
                });
                let value = entry.and_then(|entry| entry.field.iter().find(|f| f.number() == 2));
                let kind = match value {
                    Some(value) => Kind::Map(Box::new(Kind::of(value))),
                    None => Kind::of(field),
                };
                match kind {
                    Kind::Message(inner) if INLINE.contains(&field.name()) => {
                        inline.push((number, inner));
                    }
                    kind => {
                        let repeated = value.is_none() && field.label() == Label::Repeated;
                        fields.insert(field.name().to_owned(), Field { number, kind, repeated });
                    }
                }
            }
            schema.messages.insert(name.clone(), Message { name, fields, inline });
        }
        schema
    }
}

impl Kind {
    fn of(field: &prost_types::FieldDescriptorProto) -> Self {
        match field.r#type() {
            Type::Bool => Self::Bool,
            Type::String => Self::Text,
            Type::Bytes => Self::Bytes,
            Type::Message => {
                let name = field.type_name().rsplit('.').next().unwrap_or_default();
                Self::Message(name.to_owned())
            }
            _ => Self::Integer,
        }
    }
}
