//! The end behind a service's address.

use model::Observation;

use super::super::backends::Behind;
use super::super::clock::Moment;
use super::super::pending::Key;
use super::super::remote::Remote;
use super::{Directory, Ends, Haste, Outcome};

impl Directory {
    /// Names the backend where the remote end is a service, or says what to wait for.
    pub(super) fn look_behind(
        &mut self,
        observation: &Observation,
        since: Moment,
        haste: Haste,
        ends: &mut Ends,
    ) -> Option<Outcome> {
        let service = ends.remote.clone().filter(|identity| {
            self.names.config.backends && identity.service.is_some() && identity.pod_uid.is_none()
        })?;
        let at = self.names.at;
        let patience = self.names.config.backend_patience;
        // What it waited for before, such as its own name, is no reason not to ask.
        let may = haste == Haste::No && at < since.after(self.patience + patience);
        let known = match self.names.backends.find(observation, may, at) {
            Behind::Unknown => return None,
            Behind::Awaited { dial, asked } => {
                return self.wait(Key::Backend(dial), asked.after(patience), haste, ends);
            }
            Behind::Known(known) => known,
        };
        ends.backend = Some(known.address);
        let behind = Observation {
            local: known.choice.client,
            remote: known.choice.backend,
            ..observation.clone()
        };
        let backend = match self.names.remote(&behind, ends.local.as_ref()) {
            Remote::Known(identity) => identity,
            Remote::Missing { key, patience, known, near } => {
                if let Some(wait) = self.wait(key, since.after(patience), haste, ends) {
                    return Some(wait);
                }
                ends.unresolved = near;
                known
            }
        };
        if let Some(backend) = backend {
            ends.remote = Some(self.names.backends.join(&service, &backend));
        }
        None
    }

    /// Waits for `key` until `deadline`; `None` once that is over.
    fn wait(
        &mut self,
        key: Key,
        deadline: Moment,
        haste: Haste,
        ends: &mut Ends,
    ) -> Option<Outcome> {
        if haste == Haste::No && self.names.hopeful(&key) {
            if self.names.at < deadline {
                return Some(Outcome::Wait { key, deadline });
            }
            self.names.despair_of(key);
        }
        ends.vain = true;
        None
    }
}
