//! A list in JSON from somewhere else than an API server: a kubelet tells its pods as one.

use bytes::Bytes;

use crate::body::{Body, Format, Part};
use crate::counters::{Cause, count};
use crate::trim::Trim;
use crate::{Malformed, Object, Options, Resource, json};

/// Reads objects out of a body while it arrives: no more than one chunk and one object is held.
pub struct Listing {
    resource: Resource,
    body: Body,
    trim: Trim,
}

impl Listing {
    /// What cannot be read is left out, and counted in the counters of `options`.
    pub fn new(resource: Resource, options: &Options) -> Self {
        let body = Body::list(Format::Json, options.limits.object_bytes);
        Self { resource, body, trim: Trim::of(options, resource) }
    }

    /// Calls `out` with each object that is complete with this piece of the body.
    ///
    /// # Errors
    /// It is no list; nothing more can be read.
    pub fn read(&mut self, chunk: Bytes, mut out: impl FnMut(Object)) -> Result<(), Malformed> {
        self.body.push(chunk);
        while let Some(part) = self.body.next()? {
            match part {
                Part::Item(text) => match json::object(self.resource, text, &mut self.trim) {
                    Ok((object, _)) => out(object),
                    Err(_) => count(&self.trim.counters.malformed),
                },
                Part::TooLarge => {
                    self.trim.count(Cause::ObjectTooLarge);
                    count(&self.trim.counters.malformed);
                }
                Part::Metadata(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the list was read to its end.
    pub fn complete(&self) -> bool {
        self.body.complete()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn objects_come_in_pieces_and_bad_ones_are_left_out() {
        let text = r#"{"kind":"PodList","metadata":{},"items":[
            {"metadata":{"name":"a","uid":"1"}}, {"metadata":{"name":"b"}},
            {"metadata":7}, {"metadata":{"name":"c","uid":"3"}}]}"#;
        let options = Options::default();
        let mut listing = Listing::new(Resource::Pods, &options);
        let mut names = Vec::new();
        for piece in text.as_bytes().chunks(7) {
            assert!(!listing.complete());
            let mut out = |object| {
                let Object::Pod(pod) = object else { return };
                names.push(pod.name.to_string());
            };
            listing.read(Bytes::copy_from_slice(piece), &mut out).unwrap();
        }
        assert!(listing.complete());
        assert_eq!(names, ["a", "c"]);
        assert_eq!(options.counters.malformed.load(Ordering::Relaxed), 2);
        let mut listing = Listing::new(Resource::Pods, &options);
        listing.read(Bytes::from_static(b"{\"items\":null}"), |_| ()).unwrap();
        assert!(listing.complete());
        let mut listing = Listing::new(Resource::Pods, &options);
        assert!(listing.read(Bytes::from_static(b"}"), |_| ()).is_err());
    }
}
