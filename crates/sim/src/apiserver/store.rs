//! The server's memory: objects by key, one number for every change, and a bounded history of changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::object::{Object, key};
use super::resource::Resource;
use super::wire;

/// Objects by `namespace/name`: the order of lists.
pub type Objects = Arc<BTreeMap<String, Arc<Object>>>;

/// Lists that may be continued at one time; the oldest is forgotten.
const SNAPSHOTS: usize = 64;

#[derive(Clone, Debug)]
pub struct Change {
    pub kind: wire::Event,
    pub object: Arc<Object>,
    /// Before the change.
    pub previous: Option<Arc<Object>>,
}

#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
    /// The last change of each resource: wakes those who watch it.
    news: Vec<watch::Sender<u64>>,
    /// Changes of each resource that are remembered.
    history: usize,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    collections: [Collection; Resource::ALL.len()],
    snapshots: VecDeque<(Resource, u64, Objects)>,
}

#[derive(Debug, Default)]
struct Collection {
    objects: Objects,
    history: VecDeque<Change>,
    /// Changes up to this version are no longer in the history.
    forgotten: u64,
    /// Who asks anew may not start below this version. Watches that run are not touched by a compaction.
    compacted: u64,
}

/// What was asked for is too old to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The oldest version that is known.
    pub oldest: u64,
}

/// Real servers have been through some changes before anybody lists.
const FIRST_VERSION: u64 = 1000;

impl Store {
    pub fn new(history: usize) -> Self {
        let state = State { version: FIRST_VERSION, ..State::default() };
        let news = Resource::ALL.iter().map(|_| watch::Sender::new(FIRST_VERSION)).collect();
        Self { state: Mutex::new(state), news, history }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn version(&self) -> u64 {
        self.state().version
    }

    /// Creates or replaces. Returns the object with its version. One with another uid than before is another object: the
    /// old one is deleted first.
    pub fn put(&self, mut object: Object) -> Arc<Object> {
        let (resource, key) = (object.resource, object.key());
        let state = &mut *self.state();
        let old = state.collections[resource.index()].objects.get(&key);
        if old.is_some_and(|old| old.uid != object.uid) {
            state.remove(resource, &key, self.history);
        }
        state.version += 1;
        object.version = state.version;
        let object = Arc::new(object);
        let collection = &mut state.collections[resource.index()];
        let previous = Arc::make_mut(&mut collection.objects).insert(key, Arc::clone(&object));
        let kind = if previous.is_some() { wire::Event::Modified } else { wire::Event::Added };
        collection.note(Change { kind, object: Arc::clone(&object), previous }, self.history);
        self.news[resource.index()].send_replace(state.version);
        object
    }

    /// Returns the object as it was, if there was one.
    pub fn delete(&self, resource: Resource, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let state = &mut *self.state();
        let gone = state.remove(resource, &key(namespace, name), self.history)?;
        self.news[resource.index()].send_replace(state.version);
        Some(gone)
    }

    pub fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.state().collections[resource.index()].objects.get(&key(namespace, name)).cloned()
    }

    /// Whether the changes after `version` are known to those who ask anew.
    ///
    /// # Errors
    /// They are not.
    pub fn resume(&self, resource: Resource, version: u64) -> Result<(), Expired> {
        let state = self.state();
        let collection = &state.collections[resource.index()];
        let oldest = collection.forgotten.max(collection.compacted);
        if version < oldest { Err(Expired { oldest }) } else { Ok(()) }
    }

    /// All objects of a resource, and the version at which they are so.
    pub fn list(&self, resource: Resource) -> (u64, Objects) {
        let state = self.state();
        (state.version, Arc::clone(&state.collections[resource.index()].objects))
    }

    /// Keeps what was listed, so that the list can be continued.
    pub fn keep(&self, resource: Resource, version: u64, objects: &Objects) {
        self.state().keep(resource, version, objects);
    }

    /// The objects as they were at `version`, which is not above the present one.
    ///
    /// # Errors
    /// That was too long ago.
    pub fn list_at(&self, resource: Resource, version: u64) -> Result<Objects, Expired> {
        let state = &mut *self.state();
        let mut kept = state.snapshots.iter();
        if let Some((.., objects)) = kept.find(|(of, at, _)| (*of, *at) == (resource, version)) {
            return Ok(Arc::clone(objects));
        }
        let collection = &state.collections[resource.index()];
        let oldest = collection.forgotten.max(collection.compacted);
        if version < oldest {
            return Err(Expired { oldest });
        }
        let mut objects = Arc::clone(&collection.objects);
        let changes = collection.history.iter().rev();
        for change in changes.take_while(|change| change.object.version > version) {
            let (objects, key) = (Arc::make_mut(&mut objects), change.object.key());
            match &change.previous {
                Some(previous) => objects.insert(key, Arc::clone(previous)),
                None => objects.remove(&key),
            };
        }
        state.keep(resource, version, &objects);
        Ok(objects)
    }

    /// At most `limit` changes after `version`, and how many more there are.
    pub fn changes(
        &self,
        resource: Resource,
        version: u64,
        limit: usize,
    ) -> Result<(Vec<Change>, usize), Expired> {
        let state = self.state();
        let collection = &state.collections[resource.index()];
        if version < collection.forgotten {
            return Err(Expired { oldest: collection.forgotten });
        }
        let start = collection.history.partition_point(|change| change.object.version <= version);
        let rest = collection.history.len() - start;
        let changes: Vec<Change> = collection.history.range(start..).take(limit).cloned().collect();
        let more = rest - changes.len();
        Ok((changes, more))
    }

    /// The last `count` changes up to `version`, oldest first.
    pub fn changes_before(&self, resource: Resource, version: u64, count: usize) -> Vec<Change> {
        let state = self.state();
        let history = &state.collections[resource.index()].history;
        let end = history.partition_point(|change| change.object.version <= version);
        history.range(end.saturating_sub(count)..end).cloned().collect()
    }

    pub fn news(&self, resource: Resource) -> watch::Receiver<u64> {
        self.news[resource.index()].subscribe()
    }

    /// Forgets all history: whoever is behind must list anew.
    pub fn compact(&self) {
        let state = &mut *self.state();
        state.snapshots.clear();
        // Nobody who has seen nothing after the last change can go on: there is always one change more.
        state.version += 1;
        for collection in &mut state.collections {
            collection.compacted = state.version;
        }
    }

    /// Starts numbering again, as a server does whose memory was restored from an old backup.
    pub fn renumber(&self) {
        let state = &mut *self.state();
        state.snapshots.clear();
        state.version = FIRST_VERSION;
        for collection in &mut state.collections {
            collection.history.clear();
            let objects = collection.objects.iter().map(|(key, object)| {
                state.version += 1;
                (key.clone(), Arc::new(object.at(state.version)))
            });
            collection.objects = Arc::new(objects.collect());
        }
        for (collection, news) in state.collections.iter_mut().zip(&self.news) {
            (collection.forgotten, collection.compacted) = (state.version, 0);
            news.send_replace(state.version);
        }
    }
}

impl State {
    fn remove(&mut self, resource: Resource, key: &str, history: usize) -> Option<Arc<Object>> {
        let collection = &mut self.collections[resource.index()];
        // Looked up first: a list that somebody holds is not copied for nothing.
        collection.objects.get(key)?;
        let gone = Arc::make_mut(&mut collection.objects).remove(key)?;
        self.version += 1;
        let change = Change {
            kind: wire::Event::Deleted,
            object: Arc::new(gone.at(self.version)),
            previous: Some(Arc::clone(&gone)),
        };
        collection.note(change, history);
        Some(gone)
    }

    fn keep(&mut self, resource: Resource, version: u64, objects: &Objects) {
        if self.snapshots.iter().any(|(of, at, _)| (*of, *at) == (resource, version)) {
            return;
        }
        if self.snapshots.len() == SNAPSHOTS {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back((resource, version, Arc::clone(objects)));
    }
}

impl Collection {
    fn note(&mut self, change: Change, limit: usize) {
        self.history.push_back(change);
        while self.history.len() > limit {
            if let Some(change) = self.history.pop_front() {
                self.forgotten = change.object.version;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::object::Shared;

    fn pod(name: &str) -> Object {
        let value = json!({"metadata": {"name": name, "namespace": "shop"}});
        Object::new(Resource::Pods, &value, Arc::new(Shared::default())).unwrap()
    }

    #[test]
    fn a_version_too_old_is_refused_and_no_change_is_skipped() {
        let store = Store::new(3);
        let start = store.version();
        for index in 0..5 {
            store.put(pod(&index.to_string()));
        }
        let pods = Resource::Pods;
        assert_eq!(store.changes(pods, start, 9).unwrap_err(), Expired { oldest: start + 2 });
        assert_eq!(store.changes(pods, start + 1, 9).unwrap_err(), Expired { oldest: start + 2 });
        let (changes, more) = store.changes(pods, start + 2, 2).unwrap();
        let versions: Vec<u64> = changes.iter().map(|change| change.object.version).collect();
        assert_eq!((versions, more), (vec![start + 3, start + 4], 1));
        assert!(store.changes(Resource::Nodes, start, 9).unwrap().0.is_empty());
        assert!(store.resume(pods, start + 2).is_ok());
        store.compact();
        assert!(store.resume(pods, start + 5).is_err());
        assert!(store.resume(pods, store.version()).is_ok());
        // A watch that runs goes on.
        assert_eq!(store.changes(pods, start + 4, 9).unwrap().0.len(), 1);
    }

    #[test]
    fn a_kept_list_does_not_change() {
        let store = Store::new(9);
        store.put(pod("a"));
        let (version, objects) = store.list(Resource::Pods);
        store.keep(Resource::Pods, version, &objects);
        let unkept = store.put(pod("b")).version;
        store.delete(Resource::Pods, "shop", "a");
        store.put(pod("b"));
        let names = |version| -> Vec<(String, u64)> {
            let objects = store.list_at(Resource::Pods, version).unwrap();
            objects.iter().map(|(key, object)| (key.clone(), object.version)).collect()
        };
        assert_eq!(names(version), [("shop/a".to_owned(), version)]);
        assert_eq!(names(unkept), [("shop/a".to_owned(), version), ("shop/b".to_owned(), unkept)]);
        assert_eq!(store.list(Resource::Pods).1.len(), 1);
        store.compact();
        assert!(store.list_at(Resource::Pods, version).is_err());
    }

    #[test]
    fn another_uid_is_another_object() {
        let store = Store::new(9);
        let with_uid = |uid: &str| {
            let value = json!({"metadata": {"name": "a", "namespace": "shop", "uid": uid}});
            Object::new(Resource::Pods, &value, Arc::new(Shared::default())).unwrap()
        };
        let start = store.version();
        for uid in ["1", "1", "2"] {
            store.put(with_uid(uid));
        }
        let (changes, _) = store.changes(Resource::Pods, start, 9).unwrap();
        let told: Vec<(&str, &str)> =
            changes.iter().map(|change| (change.kind.name(), &*change.object.uid)).collect();
        assert_eq!(told, [("ADDED", "1"), ("MODIFIED", "1"), ("DELETED", "1"), ("ADDED", "2")]);
    }

    #[test]
    fn numbers_start_again_after_a_restore() {
        let store = Store::new(9);
        for _ in 0..20 {
            store.put(pod("a"));
        }
        let before = store.version();
        store.renumber();
        assert!(store.version() < before);
        assert_eq!(store.get(Resource::Pods, "shop", "a").unwrap().version, store.version());
    }
}
