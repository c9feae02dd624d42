//! A simulated Kubernetes API server: real HTTPS, with lists, pages, watches, bookmarks, protobuf and tables as the real one
//! has them, a generator of clusters, and faults on demand.
//!
//! ```no_run
//! use sim::apiserver::{ApiServer, Fault, Options, Population, Shape};
//! let server = ApiServer::start(Options::default())?;
//! let mut population = Population::new(Shape { nodes: 10, pods: 500, ..Shape::default() });
//! population.create(&server)?;
//! // Clients connect to `server.url()` with `server.kubeconfig()` ...
//! population.churn(&server, 100)?;
//! server.fault(Fault::DropWatches { abrupt: true });
//! # Ok::<(), sim::apiserver::Error>(())
//! ```

mod access;
mod discovery;
mod error;
mod fault;
mod generate;
mod hostile;
mod identity;
mod line;
mod list;
mod listener;
mod media;
mod mirror;
mod object;
mod query;
mod requests;
mod resource;
mod review;
mod schema;
mod script;
mod selector;
mod server;
mod service;
mod status;
mod store;
mod table;
mod transcode;
mod watch;
mod wire;

pub use access::{API_AUDIENCE, Rule, User};
pub use error::Error;
pub use fault::{Fault, Versions, WatchList};
pub use generate::{Churn, Population, Shape};
pub use hostile::{Hostile, NAMESPACE as HOSTILE_NAMESPACE};
pub use mirror::Mirror;
pub use object::{Object, Shared};
pub use requests::Request;
pub use resource::Resource;
pub use script::SYNTAX as FAULTS;
pub use server::{ADMIN_TOKEN, ApiServer, Options};
