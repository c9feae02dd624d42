//! Writes protobuf, for tests.

#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn number(mut self, number: u32, value: u64) -> Self {
        self.varint(u64::from(number) << 3);
        self.varint(value);
        self
    }

    pub fn bytes(mut self, number: u32, value: impl AsRef<[u8]>) -> Self {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    pub fn fixed(mut self, number: u32, value: u64) -> Self {
        self.varint(u64::from(number) << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn message(self, number: u32, value: Self) -> Self {
        self.bytes(number, value.0)
    }

    pub fn pair(self, number: u32, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.message(number, Self::default().bytes(1, key).bytes(2, value))
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

pub fn message() -> Message {
    Message::default()
}

/// `ObjectMeta` with a name, a namespace, a uid and a resource version.
pub fn meta(name: &str, version: u64) -> Message {
    let uid = format!("uid-{name}");
    message().bytes(1, name).bytes(3, "shop").bytes(5, uid).bytes(6, version.to_string())
}

/// As a body has it.
pub fn enveloped(kind: &str, object: &Message) -> Vec<u8> {
    let kind = message().bytes(1, "v1").bytes(2, kind);
    let unknown = message().message(1, kind).bytes(2, &object.0).bytes(3, "").bytes(4, "");
    [b"k8s\0", &unknown.0[..]].concat()
}

/// `PodList` and its like.
pub fn list(version: &str, next: &str, items: &[Message]) -> Vec<u8> {
    let list = message().message(1, message().bytes(2, version).bytes(3, next));
    let list = items.iter().cloned().fold(list, |list, item| list.message(2, item));
    enveloped("PodList", &list)
}

/// One frame of a watch.
pub fn event(change: &str, kind: &str, object: &Message) -> Vec<u8> {
    let extension = message().bytes(1, enveloped(kind, object));
    let event = message().bytes(1, change).message(2, extension);
    [&(event.0.len() as u32).to_be_bytes()[..], &event.0].concat()
}

/// A Pod of this name and version, with one address.
pub fn pod(name: &str, version: u64) -> Message {
    let status = message().bytes(1, "Running").message(12, message().bytes(1, "10.1.2.3"));
    message().message(1, meta(name, version)).message(3, status)
}

pub fn bookmark(version: u64, end: bool) -> Message {
    let meta = message().bytes(6, version.to_string());
    let meta = if end { meta.pair(12, "k8s.io/initial-events-end", "true") } else { meta };
    message().message(1, meta)
}
