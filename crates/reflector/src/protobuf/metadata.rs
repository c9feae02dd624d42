use super::Fields;
use super::pod::seconds;
use crate::OwnerReference;
use crate::meta::Meta;
use crate::trim::{Trim, api_group};
use crate::wire::Malformed;

/// `ObjectMeta`.
pub fn object_meta(meta: &mut Meta, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    for field in Fields::of(message) {
        let field = field?;
        let bytes = field.bytes();
        match field.number {
            1 => meta.name = trim.own(bytes).unwrap_or_default(),
            3 => meta.namespace = trim.shared_or_empty(bytes),
            5 => meta.uid = trim.own(bytes).unwrap_or_default(),
            6 => meta.set_version(bytes),
            8 => meta.created_at = seconds(bytes)?,
            9 => meta.deleted = true,
            11 => {
                let (key, value) = entry(bytes)?;
                meta.label(trim, key, value);
            }
            12 => {
                let (key, value) = entry(bytes)?;
                meta.annotation(trim, key, value);
            }
            13 if meta.owner.is_none() => {
                if let Some(owner) = owner_reference(bytes, trim)? {
                    meta.owner(owner);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// One pair of a map of texts.
fn entry(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => key = field.bytes(),
            2 => value = field.bytes(),
            _ => {}
        }
    }
    Ok((key, value))
}

/// `OwnerReference`, if it is the controller's.
fn owner_reference(message: &[u8], trim: &mut Trim) -> Result<Option<OwnerReference>, Malformed> {
    let (mut kind, mut name, mut uid, mut version): (&[u8], &[u8], &[u8], &[u8]) =
        (b"", b"", b"", b"");
    let mut controller = false;
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => kind = field.bytes(),
            3 => name = field.bytes(),
            4 => uid = field.bytes(),
            5 => version = field.bytes(),
            6 => controller = field.number() != 0,
            _ => {}
        }
    }
    if !controller {
        return Ok(None);
    }
    Ok(Some(OwnerReference {
        kind: trim.shared_or_empty(kind),
        name: trim.shared_or_empty(name),
        uid: trim.shared_or_empty(uid),
        controller,
        api_group: trim.shared_or_empty(api_group(version)),
    }))
}

/// `ListMeta`: the list's resource version, and where its next page begins; empty after the last page.
pub fn list_meta(message: &[u8]) -> Result<(String, String), Malformed> {
    let (mut version, mut next) = (String::new(), String::new());
    for field in Fields::of(message) {
        let field = field?;
        let text = || std::str::from_utf8(field.bytes()).unwrap_or_default().to_owned();
        match field.number {
            2 => version = text(),
            3 => next = text(),
            _ => {}
        }
    }
    Ok((version, next))
}
