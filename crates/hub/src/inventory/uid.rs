//! Uids, small: there are some hundred thousand of them.

use uuid::Uuid;

use super::key::Str;

/// What an API server calls an object of one life: nearly always a UUID in its usual form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Uid {
    Uuid(Uuid),
    Other(Str),
}

impl Uid {
    /// `None`: not a UUID as it would be written again.
    fn parse(text: &str) -> Option<Self> {
        let uuid = Uuid::try_parse(text).ok()?;
        let same = *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text;
        same.then_some(Self::Uuid(uuid))
    }

    pub fn text(&self) -> Str {
        match self {
            Self::Uuid(uuid) => {
                (&*uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())).into()
            }
            Self::Other(text) => text.clone(),
        }
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| Self::Other(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_comes_back_as_it_was() {
        let usual = "9f1d8b1e-40a2-4c3d-8e5f-0123456789ab";
        assert!(matches!(Uid::from(usual), Uid::Uuid(_)));
        let others = ["", "uid-web", &usual.to_uppercase(), &usual.replace('-', ""), &usual[1..]];
        for text in others.into_iter().chain([usual]) {
            assert_eq!(&*Uid::from(text).text(), text);
        }
        assert_eq!(size_of::<Uid>(), 24);
    }
}
