//! What a watch tells.

use crate::{Error, Object, ObjectKey, Resource};

/// One step of the receiver's view of a resource. Between [`Event::Relisting`] and [`Event::Listed`] come all objects
/// that exist, though not only those; what was known before and was not applied between the two is gone.
// Nearly all are applied pods: a box around each would cost more than the room that the others waste.
#[expect(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Event {
    /// A list begins. Another one before [`Event::Listed`] means that the list began anew.
    Relisting(Resource),
    /// New or changed.
    Applied(Object),
    /// It is gone; told also of objects that were never applied.
    Deleted(ObjectKey),
    /// The list is complete.
    Listed(Resource),
    /// The watch does not go on for now, and tries again by itself.
    Failed { resource: Resource, error: Error },
    /// After [`Event::Failed`] the watch goes on where it was, without a list. What was missed follows.
    Resumed(Resource),
}
