//! The messages between agents and hub, and their translation from and to the model.

mod codec;
pub mod columns;
mod dictionary;
mod inventory;
mod parcel;

pub use codec::Codec;
pub use dictionary::{Defined, Dictionary, Unsound};
pub use inventory::{Malformed, change, ip, ip_bytes, item};
pub use parcel::{Parcel, items};

/// As they travel.
#[allow(missing_docs, clippy::all)]
pub mod wire {
    tonic::include_proto!("amphipod.inventory.v1");
}

/// Likewise, of what agents tell.
#[allow(missing_docs, clippy::all)]
pub mod telemetry {
    tonic::include_proto!("amphipod.telemetry.v1");
}

pub use telemetry::telemetry_client::TelemetryClient;
pub use telemetry::telemetry_server::{Telemetry, TelemetryServer};
pub use wire::inventory_client::InventoryClient;
pub use wire::inventory_server::{Inventory, InventoryServer};
