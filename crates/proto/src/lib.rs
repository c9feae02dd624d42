//! The messages between agents and hub, and their translation from and to the model.

mod inventory;

pub use inventory::{Malformed, change, ip, ip_bytes, item};

/// As they travel.
#[allow(missing_docs, clippy::all)]
pub mod wire {
    tonic::include_proto!("amphipod.inventory.v1");
}

pub use wire::inventory_client::InventoryClient;
pub use wire::inventory_server::{Inventory, InventoryServer};
