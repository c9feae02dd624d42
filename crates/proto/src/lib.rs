//! The messages between agents and hub, and their translation from and to the model.

mod codec;
pub mod columns;
mod dictionary;
mod inventory;
mod parcel;

pub use codec::Codec;
pub use dictionary::{Defined, Dictionary, Unsound, define, defined};
pub use inventory::{Malformed, change, ip, ip_bytes, item};
pub use parcel::{Parcel, items};

/// As they travel.
#[allow(missing_docs, clippy::all)]
pub mod wire {
    tonic::include_proto!("amphipod.inventory.v1");
}

/// By package: messages of one have fields of another.
#[allow(missing_docs, clippy::all)]
mod amphipod {
    pub mod telemetry {
        pub mod v1 {
            tonic::include_proto!("amphipod.telemetry.v1");
        }
    }
    pub mod replica {
        pub mod v1 {
            tonic::include_proto!("amphipod.replica.v1");
        }
    }
}

/// Likewise, of Hubble's clients.
#[allow(missing_docs, clippy::all)]
pub mod hubble {
    pub mod flow {
        tonic::include_proto!("flow");
    }
    pub mod relay {
        tonic::include_proto!("relay");
    }
    pub mod observer {
        tonic::include_proto!("observer");
    }
    pub mod health {
        tonic::include_proto!("grpc.health.v1");
    }
}

/// Likewise, between replicas of the hub.
pub use amphipod::replica::v1 as replica;
/// Likewise, of what agents tell.
pub use amphipod::telemetry::v1 as telemetry;
pub use telemetry::telemetry_client::TelemetryClient;
pub use telemetry::telemetry_server::{Telemetry, TelemetryServer};
pub use wire::inventory_client::InventoryClient;
pub use wire::inventory_server::{Inventory, InventoryServer};
