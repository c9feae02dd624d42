//! Cookies: not to be read by scripts, not sent in the name of other sites, not to be set by neighbouring hosts.

use axum::http::{HeaderMap, header};

pub struct Jar {
    secure: bool,
}

impl Jar {
    /// `secure`: the browser speaks TLS. Without, there is no `Secure`, and hence no `__Host-`: on loopback only.
    pub fn new(secure: bool) -> Self {
        Self { secure }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", if self.secure { "__Host-" } else { "" })
    }

    /// The first of that name.
    pub fn get<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let name = self.name(name);
        let values = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        let mut pairs =
            values.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
        pairs.find(|(its, _)| *its == name).map(|(_, value)| value)
    }

    pub fn set(&self, name: &str, value: &str, seconds: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.name(name);
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    pub fn remove(&self, name: &str) -> String {
        self.set(name, "", 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_for_this_host_and_no_script() {
        let secure = Jar::new(true);
        let expected = "__Host-a=b; Path=/; Max-Age=9; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(secure.set("a", "b", 9), expected);
        let plain = Jar::new(false);
        assert_eq!(plain.remove("a"), "a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "x=1; a=2;__Host-a=3; y".parse().unwrap());
        assert_eq!((plain.get(&headers, "a"), secure.get(&headers, "a")), (Some("2"), Some("3")));
        assert_eq!(plain.get(&headers, "z"), None);
    }
}
