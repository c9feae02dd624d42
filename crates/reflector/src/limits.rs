//! What an object may hold at most. The API server's own limits are far below most of these.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one object on the wire; a larger one is left out.
    pub object_bytes: usize,
    /// Of a name, an image, a label's value ...; a longer one is left out, with the object if it is its name.
    pub text_bytes: usize,
    /// Of an allowed annotation's value.
    pub annotation_bytes: usize,
    /// Labels that are kept, and annotations that are kept.
    pub labels: usize,
    /// Labels and annotations that are looked at.
    pub labels_seen: usize,
    /// Containers, addresses, hostnames and ports, each.
    pub parts: usize,
    /// Endpoints of one slice.
    pub endpoints: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            object_bytes: 4 << 20,
            text_bytes: 512,
            annotation_bytes: 1024,
            labels: 64,
            labels_seen: 4096,
            parts: 256,
            endpoints: 1000,
        }
    }
}
