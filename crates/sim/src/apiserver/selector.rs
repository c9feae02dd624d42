//! Which objects a request is about: label and field selectors.

use super::object::Object;
use super::resource::Resource;
use super::status::Status;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Empty: all.
    pub namespace: String,
    labels: Vec<Label>,
    fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Label {
    key: String,
    /// None: any value, so long as it is there.
    values: Option<Vec<String>>,
    negated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: String,
    value: String,
    negated: bool,
}

impl Selector {
    /// # Errors
    /// The status to send for a selector that cannot be read, or a field by which `resource` is not selected.
    pub fn parse(
        resource: Resource,
        namespace: &str,
        labels: &str,
        fields: &str,
    ) -> Result<Self, Status> {
        Ok(Self {
            namespace: namespace.to_owned(),
            labels: terms(labels).into_iter().map(Label::parse).collect::<Result<_, _>>()?,
            fields: terms(fields)
                .into_iter()
                .map(|term| Field::parse(resource, term))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether it selects by more than the namespace.
    pub fn is_partial(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }

    pub fn matches(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || *self.namespace == *object.namespace)
            && self.labels.iter().all(|label| label.matches(object))
            && self.fields.iter().all(|field| field.matches(object))
    }
}

impl Label {
    fn parse(term: &str) -> Result<Self, Status> {
        let wrong = || Status::bad_request(format!("unable to parse requirement: {term:?}"));
        let new = |key: &str, values: Option<Vec<&str>>, negated| Self {
            key: key.trim().to_owned(),
            values: values.map(|all| all.iter().map(|one| one.trim().to_owned()).collect()),
            negated,
        };
        let label = if let Some((head, list)) = term.split_once('(') {
            let list = list.trim_end().strip_suffix(')').ok_or_else(wrong)?;
            let (key, operator) = head.trim().split_once(' ').ok_or_else(wrong)?;
            let negated = match operator.trim() {
                "in" => false,
                "notin" => true,
                _ => return Err(wrong()),
            };
            new(key, Some(list.split(',').collect()), negated)
        } else if let Some((key, value)) = term.split_once("!=") {
            new(key, Some(vec![value]), true)
        } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            new(key, Some(vec![value]), false)
        } else if let Some(key) = term.trim().strip_prefix('!') {
            new(key, None, true)
        } else {
            new(term, None, false)
        };
        if label.key.is_empty() || label.key.contains(' ') { Err(wrong()) } else { Ok(label) }
    }

    fn matches(&self, object: &Object) -> bool {
        let value = object.labels.iter().find(|(key, _)| **key == *self.key);
        let found = value.is_some_and(|(_, value)| {
            self.values.as_ref().is_none_or(|all| all.iter().any(|one| **one == **value))
        });
        found != self.negated
    }
}

impl Field {
    fn parse(resource: Resource, term: &str) -> Result<Self, Status> {
        let (name, value, negated) = if let Some((name, value)) = term.split_once("!=") {
            (name, value, true)
        } else if let Some((name, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (name, value, false)
        } else {
            let message = format!("invalid selector: '{term}'; can't understand '{term}'");
            return Err(Status::bad_request(message));
        };
        let known = match name {
            "metadata.name" => true,
            "metadata.namespace" => resource.is_namespaced(),
            "spec.nodeName" => resource == Resource::Pods,
            "status.phase" => matches!(resource, Resource::Pods | Resource::Namespaces),
            _ => false,
        };
        if !known {
            return Err(Status::bad_request(format!("field label not supported: {name}")));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned(), negated })
    }

    fn matches(&self, object: &Object) -> bool {
        let value = match self.name.as_str() {
            "metadata.name" => &object.name,
            "metadata.namespace" => &object.namespace,
            "spec.nodeName" => &object.node,
            _ => &object.phase,
        };
        (**value == *self.value) != self.negated
    }
}

/// Splits at commas outside of parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let split = text.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    split.filter(|term| !term.trim().is_empty()).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::apiserver::object::Shared;

    #[test]
    fn selectors_select() {
        let value = json!({
            "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "cart", "tier": "1"}},
            "spec": {"nodeName": "n1"},
            "status": {"phase": "Running"},
        });
        let pod = Object::new(Resource::Pods, &value, Arc::new(Shared::default())).unwrap();
        let check = |labels: &str, fields: &str, expected: Option<bool>| {
            let selector = Selector::parse(Resource::Pods, "shop", labels, fields).ok();
            assert_eq!(selector.map(|s| s.matches(&pod)), expected, "{labels} {fields}");
        };
        check("", "", Some(true));
        check("app=cart", "", Some(true));
        check("app==cart,tier=2", "", Some(false));
        check("app in (x, cart),tier", "", Some(true));
        check("app notin (x,cart)", "", Some(false));
        check("app!=x,!colour", "", Some(true));
        check("colour", "", Some(false));
        check("colour!=red", "", Some(true));
        check("app in (x", "", None);
        check("", "spec.nodeName=n1,status.phase!=Succeeded", Some(true));
        check("", "metadata.name=b", Some(false));
        check("", "spec.colour=red", None);
        check("", "nonsense", None);
        assert!(!Selector::parse(Resource::Pods, "other", "", "").unwrap().matches(&pod));
    }
}
