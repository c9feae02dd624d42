//! Which form of an answer a client wants: the `Accept` header.

use super::status::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Protobuf,
}

/// What is made of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Full,
    /// `PartialObjectMetadata`, or a list of them.
    Partial,
    Table,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    pub format: Format,
    pub shape: Shape,
}

pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

impl Media {
    /// The first acceptable of what `accept` lists, those of greater weight (`q`) before others.
    ///
    /// # Errors
    /// The status to send when nothing is acceptable.
    pub fn negotiate(accept: Option<&str>, json_only: bool) -> Result<Self, Status> {
        let accept = match accept {
            None | Some("") => "*/*",
            Some(accept) => accept,
        };
        let mut clauses: Vec<&str> = accept.split(',').collect();
        clauses.sort_by(|one, other| weight(other).total_cmp(&weight(one)));
        clauses.into_iter().find_map(|clause| Self::parse(clause, json_only)).ok_or_else(|| {
            Status::not_acceptable(if json_only { &[JSON] } else { &[JSON, PROTOBUF] })
        })
    }

    fn parse(clause: &str, json_only: bool) -> Option<Self> {
        let mut parts = clause.split(';').map(str::trim);
        let format = match parts.next()? {
            JSON | "*/*" | "application/*" => Format::Json,
            PROTOBUF if !json_only => Format::Protobuf,
            _ => return None,
        };
        let mut shape = Shape::Full;
        for part in parts {
            shape = match part.split_once('=') {
                Some(("as", "Table")) if format == Format::Json => Shape::Table,
                Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => {
                    Shape::Partial
                }
                Some(("as", _)) => return None,
                Some(("g", group)) if group != "meta.k8s.io" => return None,
                Some(("v", version)) if version != "v1" => return None,
                _ => shape,
            };
        }
        Some(Self { format, shape })
    }

    pub fn content_type(self, is_watch: bool) -> &'static str {
        match (self.format, is_watch) {
            (Format::Json, _) => JSON,
            (Format::Protobuf, false) => PROTOBUF,
            (Format::Protobuf, true) => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }
}

/// From 0 to 1, which it is if the clause does not say.
fn weight(clause: &str) -> f32 {
    let weight = clause.split(';').find_map(|part| part.trim().strip_prefix("q="));
    weight.and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_acceptable_form_is_taken() {
        let check = |accept: Option<&str>, json_only, expected: Option<(Format, Shape)>| {
            let media = Media::negotiate(accept, json_only).ok();
            assert_eq!(media.map(|m| (m.format, m.shape)), expected, "{accept:?}");
        };
        let (json, protobuf) = (Format::Json, Format::Protobuf);
        check(None, false, Some((json, Shape::Full)));
        check(Some("*/*"), true, Some((json, Shape::Full)));
        check(Some(PROTOBUF), false, Some((protobuf, Shape::Full)));
        check(
            Some("application/vnd.kubernetes.protobuf;stream=watch"),
            false,
            Some((protobuf, Shape::Full)),
        );
        check(Some(PROTOBUF), true, None);
        check(
            Some("application/vnd.kubernetes.protobuf, application/json"),
            true,
            Some((json, Shape::Full)),
        );
        check(
            Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            false,
            Some((json, Shape::Table)),
        );
        check(
            Some(
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            ),
            false,
            Some((protobuf, Shape::Partial)),
        );
        check(
            Some(
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
            ),
            false,
            Some((json, Shape::Full)),
        );
        check(
            Some("application/json;q=0.5, application/vnd.kubernetes.protobuf"),
            false,
            Some((protobuf, Shape::Full)),
        );
        check(Some("application/json;q=x, text/html;q=NaN"), false, Some((json, Shape::Full)));
        check(Some("text/html"), false, None);
    }
}
