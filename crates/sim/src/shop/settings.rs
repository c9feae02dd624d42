//! What a program of the shop is told when it starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::lookup::Resolver;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Die when this process is not the parent any more.
    pub parent: Option<u32>,
    /// The name server.
    pub dns: SocketAddr,
    /// Where to listen, for those that must not listen everywhere.
    pub listen: Vec<IpAddr>,
    pub port: u16,
    /// Requests per second.
    pub rate: f64,
    /// How long to live, for those that end.
    pub life: Duration,
    /// The name server's names.
    pub zone: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parent: None,
            dns: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
            listen: Vec::new(),
            port: 8080,
            rate: 20.0,
            life: Duration::from_secs(1),
            zone: PathBuf::from("/dev/null"),
        }
    }
}

impl Settings {
    /// From `KEY=VALUE` each.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut settings = Self::default();
        for word in words {
            let (key, text) =
                word.split_once('=').ok_or_else(|| format!("{word}: a setting is KEY=VALUE"))?;
            match key {
                "parent" => settings.parent = Some(value(key, text)?),
                "dns" => settings.dns = value(key, text)?,
                "listen" => {
                    settings.listen =
                        text.split(',').map(|ip| value(key, ip)).collect::<Result<_, _>>()?
                }
                "port" => settings.port = value(key, text)?,
                "rate" => settings.rate = value(key, text)?,
                "life_ms" => settings.life = Duration::from_millis(value(key, text)?),
                "zone" => settings.zone = PathBuf::from(text),
                _ => return Err(format!("{key}: no such setting")),
            }
        }
        Ok(settings)
    }

    pub(super) fn resolver(&self) -> Resolver {
        Resolver::new(self.dns)
    }
}

fn value<T: FromStr>(key: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{key}={text}: not a valid value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_or_named() {
        let check = |words: &[&str]| {
            Settings::parse(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
        };
        let settings =
            check(&["dns=10.0.0.1:53", "listen=10.0.0.2,fd00::2", "life_ms=250"]).unwrap();
        assert_eq!(settings.dns.to_string(), "10.0.0.1:53");
        assert_eq!(settings.listen.len(), 2);
        assert_eq!(settings.life, Duration::from_millis(250));
        assert_eq!(check(&["rate=fast"]).unwrap_err(), "rate=fast: not a valid value");
        assert_eq!(check(&["rate"]).unwrap_err(), "rate: a setting is KEY=VALUE");
        assert_eq!(check(&["speed=1"]).unwrap_err(), "speed: no such setting");
    }
}
